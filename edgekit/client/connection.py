"""One connection to a fleet server: bytes out, checked values in.

Knows addresses, the bearer token, timeouts and size limits; knows no endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import urllib3

from edgekit import __version__, codec
from edgekit.client.problems import error_of
from edgekit.errors import FormatError, NetworkError, StorageError, UsageError

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
UPLOAD_TIMEOUT_S = 600.0
MAX_ANSWER_BYTES = 64 << 20
# One more try where asking twice does no harm: an idle connection may have been closed meanwhile.
_ONCE_MORE = urllib3.Retry(
    total=1, redirect=False, status=0, other=0, allowed_methods={"GET", "HEAD"}
)


class Connection:
    """Asks one server, with one token.

    Args:
        server_url: Such as "https://fleet.example:8443".
        token: Bearer token; empty for what needs none.

    Raises:
        UsageError: The address is no http or https address.
    """

    def __init__(self, server_url: str, token: str) -> None:
        parts = urlsplit(server_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                "is no address of a server", where=server_url or "--server", todo="use http(s)://"
            )
        if any(c.isspace() for c in token):
            raise UsageError("the token holds white space", todo="it is one word")
        self.server_url = server_url.rstrip("/")
        self._headers = {"User-Agent": f"edgekit/{__version__}", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(maxsize=4)

    def close(self) -> None:
        """Close every open connection; asking again opens new ones."""
        self._pool.clear()

    def ask(
        self,
        kind: type[T],
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
        if_match: str = "",
    ) -> T:
        """Send a request and read the answer as `kind`.

        Raises:
            NetworkError: No answer in time, or one that is no answer.
            EdgeKitError: What the server's problem stands for.
        """
        encoded = None if body is None else codec.encode(body)
        status, data = self._exchange(
            method,
            path,
            encoded,
            query=query,
            content_type="application/json",
            if_match=if_match,
        )
        return self._read_as(kind, path, status, data)

    def read(
        self, kind: type[T], path: str, *, query: Mapping[str, str | int] | None = None
    ) -> tuple[T, Mapping[str, str]]:
        """Return what GET finds, and the headers beside it. Raises as `ask` does."""
        answer, data = self._request("GET", path, None, query=query)
        return self._read_as(kind, path, answer.status, data), answer.headers

    def has(self, path: str) -> bool:
        """Say whether HEAD finds something. Raises as `ask` does, but for 404."""
        status, data = self._exchange("HEAD", path, None)
        if status >= 300 and status != 404:
            raise error_of(status, data, where=f"{self.server_url}{path}")
        return status != 404

    def find(self, kind: type[T], path: str) -> T | None:
        """Return what GET finds, or None for 404. Raises as `ask` does otherwise."""
        status, data = self._exchange("GET", path, None)
        return None if status == 404 else self._read_as(kind, path, status, data)

    def fetch(self, path: str) -> bytes:
        """Return the bytes that GET finds. Raises as `ask` does."""
        status, data = self._exchange("GET", path, None)
        if status >= 300:
            raise error_of(status, data, where=f"{self.server_url}{path}")
        return data

    def upload(self, path: str, file: Path, *, size: int) -> None:
        """Stream a file of `size` bytes with PUT. Raises as `ask` does.

        Raises:
            StorageError: The file cannot be read.
        """
        try:
            with file.open("rb") as body:
                status, data = self._exchange(
                    "PUT", path, body, length=size, content_type="application/octet-stream"
                )
        except OSError as error:
            raise StorageError(f"cannot read ({error.strerror})", where=str(file)) from error
        if status >= 300:
            raise error_of(status, data, where=f"{self.server_url}{path}")

    def _read_as(self, kind: type[T], path: str, status: int, data: bytes) -> T:
        where = f"{self.server_url}{path}"
        if status >= 300:
            raise error_of(status, data, where=where)
        try:
            return codec.decode(data, kind, where=where)
        except FormatError as error:
            raise NetworkError(
                f"answers something else than expected ({error.what})",
                where=where,
                todo="is this a fleet server of this version?",
            ) from error

    def _exchange(
        self,
        method: str,
        path: str,
        body: Any,  # noqa: ANN401 (bytes or an open file)
        **how: Any,  # noqa: ANN401 (as `_request` takes it)
    ) -> tuple[int, bytes]:
        answer, data = self._request(method, path, body, **how)
        return answer.status, data

    def _request(
        self,
        method: str,
        path: str,
        body: Any,  # noqa: ANN401 (bytes or an open file)
        *,
        query: Mapping[str, str | int] | None = None,
        content_type: str = "",
        length: int | None = None,
        if_match: str = "",
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = content_type
        if length is not None:
            headers["Content-Length"] = str(length)
        if if_match:
            headers["If-Match"] = if_match
        read_s = READ_TIMEOUT_S if length is None else UPLOAD_TIMEOUT_S
        address = f"{self.server_url}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = self._pool.request(
                method,
                address,
                body=body,
                headers=headers,
                redirect=False,
                retries=_ONCE_MORE,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_s),
                preload_content=False,
            )
            return answer, _read(answer, self.server_url)
        except urllib3.exceptions.HTTPError as error:
            what, todo = _reason(error)
            raise NetworkError(what, where=self.server_url, todo=todo) from error


def _read(answer: urllib3.BaseHTTPResponse, where: str) -> bytes:
    try:
        data = answer.read(MAX_ANSWER_BYTES + 1)
    finally:
        answer.release_conn()
    if len(data) > MAX_ANSWER_BYTES:
        answer.close()
        raise NetworkError(f"answers more than {MAX_ANSWER_BYTES >> 20} MiB", where=where)
    return data


def _reason(error: urllib3.exceptions.HTTPError) -> tuple[str, str]:
    """Say in a few words what went wrong, without urllib3's object names, and what to look at."""
    reason = getattr(error, "reason", None) or error
    match reason:
        case urllib3.exceptions.NameResolutionError():
            return "the name is unknown", "check the address and the network"
        case urllib3.exceptions.SSLError():
            return f"TLS failed ({reason})", "check the address and who signed its certificate"
        case urllib3.exceptions.NewConnectionError():
            return "nobody answers there", "is the server running?"
        case urllib3.exceptions.TimeoutError():
            return "does not answer in time", "is the server running?"
        case _:
            return "the connection broke", "is the server running?"
