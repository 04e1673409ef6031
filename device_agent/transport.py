"""HTTP to one server: keep-alive, one clear error each, and how long to wait after one.

A server may have several addresses: after a failure the next one is tried. Proxies are taken from
HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Knows no deployment and no telemetry. The token goes to the
enrolled addresses and nowhere else.
"""

from __future__ import annotations

import base64
import http.client
import random
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urlsplit

from edgekit.errors import NetworkError, RefusedError

MAX_ANSWER_BYTES = 4 << 20
BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 300.0
RETRY_AFTER_CAP_S = 3600.0
ANSWER_WITHIN_S = 60.0
"""A whole answer, or the head of a long one, takes at most this, however slowly it trickles."""


class BusyError(NetworkError):
    """The server asks to come later.

    Attributes:
        retry_after_s: When, counted from now; 0 when it did not say.
    """

    def __init__(self, status: int, *, where: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"the server answers {status}", where=where)


class StatusError(RefusedError):
    """The server said no with an HTTP status.

    Attributes:
        status: 300 to 499.
    """

    def __init__(self, status: int, *, where: str) -> None:
        self.status = status
        todo = "enrol the device again" if status == 401 else ""
        super().__init__(f"the server answers {status}", where=where, todo=todo)


class GoneError(StatusError):
    """The server has closed, or never had, what was asked for (404, 410)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response with a status below 400.

    Attributes:
        status: HTTP status.
        headers: By lower-case name.
        body: At most 4 MiB.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def backoff_s(failures: int, rng: random.Random, *, at_least_s: float = 0.0) -> float:
    """Return how long to wait after some failures in a row: doubled each time, half of it random.

    Args:
        failures: Failures in a row, at least 1.
        rng: Spreads the devices of a fleet that lost its server.
        at_least_s: What the server asked for (Retry-After).
    """
    bound = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(failures - 1, 30))
    return max(bound * (0.5 + rng.random() / 2), at_least_s * (1 + rng.random() / 10))


def retry_after_s(value: str | None, *, date: str | None = None) -> float:
    """Read Retry-After in seconds, at most an hour; nonsense and the past count as 0.

    Args:
        value: Seconds, or a date of HTTP.
        date: The answer's own Date: a date is compared with the server's clock, never with the
            device's, which may be wrong.

    Source: RFC 9110, 10.2.3 and 5.6.7.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_CAP_S)
    try:
        until, now = (parsedate_to_datetime(one) for one in (text, date or ""))
        left_s = (until - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(left_s, 0.0), RETRY_AFTER_CAP_S)


class Transport:
    """Requests to the enrolled server. Not thread-safe: one a thread."""

    def __init__(
        self,
        servers: str | Sequence[str],
        headers: Mapping[str, str],
        *,
        timeout_s: float = 30.0,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            servers: Addresses of the one server, the preferred one first.
            headers: Sent with every request, as they are at that moment.
            timeout_s: Longest silence on the socket.
            answer_within_s: Longest time for a whole answer, or the head of a streamed one.
        """
        given = (servers,) if isinstance(servers, str) else tuple(servers)
        self._origins = tuple(_origin(server) for server in given)
        self._at = 0
        self._headers = headers
        self._timeout_s, self._answer_within_s = timeout_s, answer_within_s
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._response: http.client.HTTPResponse | None = None

    def another(self) -> Transport:
        """Return a transport to the same server with a connection of its own."""
        other = Transport(
            self._origins,
            self._headers,
            timeout_s=self._timeout_s,
            answer_within_s=self._answer_within_s,
        )
        other._at = self._at
        return other

    def reachable(self, url: str) -> str:
        """Return `url` at the address of the server that answered last.

        Raises:
            RefusedError: The address is on another server.
        """
        return self._origins[self._at] + self._path(url)

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read the whole answer.

        Raises:
            NetworkError: No answer in time, or one that is too large; 5xx.
            BusyError: 429 or 503.
            GoneError: 404 or 410.
            StatusError: Any other status from 300 on.
            RefusedError: The address is on another server.
        """
        with self.stream(method, url, body=body, headers=headers) as response:
            with self._in_time():
                data = response.read(MAX_ANSWER_BYTES + 1)
            if len(data) > MAX_ANSWER_BYTES:
                raise NetworkError("the answer is too large", where=url)
            if response.length:
                raise NetworkError(f"the answer lacks {response.length} bytes", where=url)
            answer_headers = {k.lower(): v for k, v in response.getheaders()}
        return Answer(status=response.status, headers=answer_headers, body=data)

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send one request and hand out the response to read from. Raises as `request` does."""
        try:
            response = self._send(method, url, body, {**self._headers, **(headers or {})})
            with self._in_time():
                _check(response, url)
            yield response
        except (OSError, http.client.HTTPException) as error:
            self.close()
            self._at = (self._at + 1) % len(self._origins)
            raise NetworkError(f"no answer ({_clause(error)})", where=url) from error
        finally:
            self._release()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _release(self) -> None:
        """Keep the connection only if the last answer was read to its end."""
        if self._response is not None and not self._response.isclosed():
            self.close()
        self._response = None

    def _path(self, url: str) -> str:
        origin = _origin(url)
        if origin not in self._origins:
            raise RefusedError("is not on the enrolled server", where=url)
        return url[len(origin) :] or "/"

    def _send(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        path = self._path(url)
        kept = self._connection is not None
        try:
            return self._attempt(method, path, body, headers)
        except (OSError, http.client.HTTPException):
            self.close()
            if not kept:
                raise
        # A kept connection may have been closed by the server meanwhile: once more, on a new one.
        return self._attempt(method, path, body, headers)

    def _attempt(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        origin = urlsplit(self._origins[self._at])
        proxy = proxy_for(origin)
        if self._connection is None:
            self._connection = _connect(origin, proxy, self._timeout_s)
        if proxy is not None and origin.scheme == "http":
            path, headers = f"{origin.geturl()}{path}", {**headers, **_proxy_headers(proxy)}
        with self._in_time():
            self._connection.request(method, path, body=body, headers=headers)
            self._socket = self._connection.sock
            self._response = self._connection.getresponse()
        return self._response

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """End what happens inside when it takes too long, though every byte comes in time.

        Raises:
            TimeoutError: It did.
        """
        started_s = time.monotonic()
        timer = threading.Timer(self._answer_within_s, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if time.monotonic() - started_s >= self._answer_within_s:
            raise TimeoutError("the answer came too slowly")

    def _hang_up(self) -> None:
        with suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)


def proxy_for(origin: SplitResult) -> SplitResult | None:
    """Return the proxy that the environment names for an address; None for a direct way."""
    address = urllib.request.getproxies().get(origin.scheme)
    if not address or urllib.request.proxy_bypass(origin.hostname or ""):
        return None
    return urlsplit(address if "//" in address else f"http://{address}")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _check(response: http.client.HTTPResponse, url: str) -> None:
    status = response.status
    if status < 300 or status == 416:
        return
    response.read(MAX_ANSWER_BYTES)
    if status in {429, 503}:
        asked, date = response.getheader("Retry-After"), response.getheader("Date")
        wait_s = retry_after_s(asked, date=date)
        raise BusyError(status, where=url, retry_after_s=wait_s)
    if status >= 500:
        raise NetworkError(f"the server answers {status}", where=url)
    if status in {404, 410}:
        raise GoneError(status, where=url)
    raise StatusError(status, where=url)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _connect(
    origin: SplitResult, proxy: SplitResult | None, timeout_s: float
) -> http.client.HTTPConnection:
    if origin.scheme not in {"http", "https"}:
        raise RefusedError("is no http or https address", where=origin.geturl())
    at = proxy or origin
    host, port = at.hostname or "", at.port
    if origin.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    context = ssl.create_default_context()
    connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    if proxy is not None:
        connection.set_tunnel(origin.hostname or "", origin.port, headers=_proxy_headers(proxy))
    return connection


def _clause(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
