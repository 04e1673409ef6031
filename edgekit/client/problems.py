"""From the server's refusals to the errors of edgekit.errors. Sends nothing."""

from __future__ import annotations

from edgekit import codec
from edgekit.client.wire.server import Problem
from edgekit.errors import (
    ConflictError,
    EdgeKitError,
    FormatError,
    NetworkError,
    RefusedError,
    StorageError,
    TrustError,
    UsageError,
)

_BY_CODE: dict[int, type[EdgeKitError]] = {
    kind.exit_code: kind
    for kind in (
        UsageError,
        FormatError,
        TrustError,
        NetworkError,
        RefusedError,
        ConflictError,
        StorageError,
    )
}
_BY_STATUS = {
    401: "the token is missing or wrong",
    403: "the token does not allow this",
    404: "there is no such thing",
    409: "somebody else was first",
    412: "was changed since it was read",
    413: "too large",
    422: "the server cannot use this request",
    503: "busy or shutting down",
    507: "no room left",
}
_TODO = {401: "check --token-file or EDGEKIT_TOKEN", 503: "try again in a moment"}


def error_of(status: int, body: bytes, *, where: str) -> EdgeKitError:
    """Return the error that an answer of 300 and above stands for.

    Args:
        status: HTTP status.
        body: `application/problem+json`, or anything else.
        where: Address that was asked, named in the message when the server gives no better one.
    """
    problem = _problem(body)
    if problem is None or not problem.detail:
        what = _BY_STATUS.get(status, f"answered with HTTP status {status}")
        return _kind(status, None)(what, where=where, todo=_TODO.get(status, ""))
    return _kind(status, problem.code)(problem.detail)


def _kind(status: int, code: int | None) -> type[EdgeKitError]:
    if status in {409, 412}:
        return ConflictError
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status == 507:
        return StorageError
    return NetworkError if status >= 500 or status < 400 else RefusedError


def _problem(body: bytes) -> Problem | None:
    try:
        return codec.decode(body, Problem, where="problem")
    except FormatError:
        return None
