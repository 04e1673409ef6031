"""Getting metadata files over HTTP with the standard library, bounded in size and time.

Knows nothing of TUF: what comes back is not trusted.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO

from edgekit.errors import NetworkError, RefusedError, UsageError

_CHUNK_BYTES = 1 << 14


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry our token to an address that nobody configured."""

    def redirect_request(  # noqa: PLR0917 (signature of urllib)
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        """Follow nothing."""


class HttpFetch:
    """Gets files below one address.

    Args:
        base_url: `http://` or `https://` address of the metadata folder.
        headers: Sent with each request, such as Authorization.
        timeout_s: Longest silence on the socket.
        total_s: Longest time for all files together, from the first request on.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float = 10.0,
        total_s: float = 60.0,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise UsageError("not an http or https address", where=base_url)
        self._base = base_url.rstrip("/") + "/"
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._total_s = total_s
        self._deadline: float | None = None
        self._opener = urllib.request.build_opener(_NoRedirect)

    def __call__(self, path: str, max_length: int) -> bytes | None:
        """Return the file, or None if the server has none.

        Returns:
            At most `max_length` + 1 bytes: the caller sees that there would be more.

        Raises:
            NetworkError: No answer, a broken or slow one, or a server error.
            RefusedError: The server refused (401, 403 and other 4xx).
        """
        url = self._base + path
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 (scheme checked)
        if self._deadline is None:
            self._deadline = time.monotonic() + self._total_s
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                return self._read(response, url, max_length)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.client.NOT_FOUND:
                    return None
                if 400 <= error.code < 500:
                    raise RefusedError(f"the server said {error.code}", where=url) from error
                raise NetworkError(f"the server said {error.code}", where=url) from error
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", None) or error
            raise NetworkError(f"does not answer: {why}", where=url) from error

    def _read(self, response: http.client.HTTPResponse, url: str, max_length: int) -> bytes:
        data = bytearray()
        while len(data) <= max_length:
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise NetworkError(f"took more than {self._total_s:g} s in all", where=url)
            chunk = response.read1(min(_CHUNK_BYTES, max_length + 1 - len(data)))
            if not chunk:
                break
            data += chunk
        if len(data) <= max_length and response.length:
            raise NetworkError(f"ended {response.length} bytes too early", where=url)
        return bytes(data)
