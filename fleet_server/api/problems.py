"""Errors -> HTTP: one table, and answers that never echo what was sent.

People get `application/problem+json`; devices get what DDI clients know, and nothing at all with
a 401.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from edgekit import codec
from edgekit.client.wire.server import Problem
from edgekit.errors import (
    ConflictError,
    EdgeKitError,
    FormatError,
    RefusedError,
    StorageError,
    TrustError,
    UsageError,
)
from edgekit.protocol import TENANT
from fleet_server.services.errors import (
    BusyError,
    ChangedError,
    GoneError,
    NotFoundError,
    SlowError,
    TooLargeError,
    TooManyError,
    UnavailableError,
    UnknownCallerError,
    UnknownFormatError,
)

logger = logging.getLogger(__name__)

STATUS: dict[type[EdgeKitError], int] = {
    UnknownCallerError: 401,
    NotFoundError: 404,
    GoneError: 410,
    TooLargeError: 413,
    SlowError: 408,
    UnknownFormatError: 415,
    BusyError: 429,
    TooManyError: 429,
    RefusedError: 403,
    ChangedError: 412,
    ConflictError: 409,
    FormatError: 422,
    TrustError: 422,
    UsageError: 422,
    UnavailableError: 503,
    StorageError: 507,
}
"""First match wins, most specific first."""

RETRY_AFTER_S = 5
"""What a client is told to wait when the server cannot answer now."""

_MAX_FIELDS = 5


def status_of(error: EdgeKitError) -> int:
    """Return the HTTP status of an error; 500 for one that nobody planned to send."""
    return next((s for kind, s in STATUS.items() if isinstance(error, kind)), 500)


def add_handlers(app: FastAPI) -> None:
    """Make an application answer errors our way."""
    app.add_exception_handler(EdgeKitError, _edgekit)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _edgekit(request: Request, error: Exception) -> Response:
    assert isinstance(error, EdgeKitError)  # noqa: S101 (registered for it)
    return answer_error(request, error)


def answer_error(request: Request, error: EdgeKitError) -> Response:
    """Return the answer that an error stands for."""
    status = status_of(error)
    if status >= 500:
        logger.error("request failed", extra={"fields": {"error": str(error)}})
    answer = _answer(request, status, str(error), error.exit_code)
    if isinstance(error, TooManyError) and error.wait_s:
        answer.headers["Retry-After"] = str(error.wait_s)
    if isinstance(error, ChangedError):
        answer.headers["ETag"] = f'"{error.tag}"'
    return answer


def _invalid(request: Request, error: Exception) -> Response:
    """Name the fields that are wrong, never their values."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 (registered for it)
    parts = [
        f"{'.'.join(str(p) for p in e['loc'] if isinstance(p, int) or p.isidentifier())}:"
        f" {e['type']}"
        for e in error.errors()[:_MAX_FIELDS]
    ]
    detail = f"the request does not fit: {'; '.join(parts)}"
    return _answer(request, 422, detail, UsageError.exit_code)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for it)
    phrase = HTTPStatus(error.status_code).phrase
    answer = _answer(request, error.status_code, phrase, RefusedError.exit_code)
    answer.headers.update(error.headers or {})
    return answer


def _answer(request: Request, status: int, detail: str, code: int) -> Response:
    text = detail.encode("utf-8", "replace").decode()
    answer = _answer_of_kind(request, status, text, code)
    if status in {429, 503}:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _answer_of_kind(request: Request, status: int, text: str, code: int) -> Response:
    if request.url.path.startswith(f"/{TENANT}/"):
        return _ddi_answer(status, text)
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=text, code=code)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Response(codec.encode(problem), status, headers, media_type="application/problem+json")


def _ddi_answer(status: int, detail: str) -> Response:
    if status == 401:
        return Response(status_code=401)
    status = 400 if status == 422 else status
    body = {
        "exceptionClass": "edgekit",
        "errorCode": f"hawkbit.server.error.{HTTPStatus(status).name.lower()}",
        "message": detail,
    }
    return Response(codec.encode(body), status, media_type="application/json")
