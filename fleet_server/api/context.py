"""What every route needs: the services, the clock, and where the server is seen from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from edgekit.errors import RefusedError
from edgekit.protocol import TENANT
from fleet_server.api.audited import record_request
from fleet_server.api.board import Board
from fleet_server.api.metrics import Metrics
from fleet_server.api.proxy import ProxyRule
from fleet_server.domain.access import needed
from fleet_server.services.assembly import Services
from fleet_server.services.config import Settings
from fleet_server.services.credentials import Credentials, Scheme, authenticate
from fleet_server.services.errors import TooLargeError, UnknownCallerError, UnknownFormatError
from fleet_server.services.records.devices import DeviceRecord

MANAGEMENT = "/api/v1/"
CONTROLLER = f"/{TENANT}/controller/v1/"
TUF = f"/{TENANT}/tuf/metadata/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Handed to every router; there are no globals."""

    services: Services
    board: Board
    settings: Settings
    clock: Callable[[], datetime]
    metrics: Metrics = field(default_factory=Metrics)
    leads: Callable[[], bool] = lambda: False
    clock_ahead: Callable[[], timedelta] = timedelta

    @property
    def proxy(self) -> ProxyRule:
        """Whom forwarded headers are believed from."""
        return ProxyRule.of(self.settings)

    def device(self, request: Request, device_id: str) -> DeviceRecord:
        """Return the device that sends a request.

        Raises:
            UnknownCallerError: Nothing shows that the caller is this device.
            UnknownFormatError: The body is CBOR.
        """
        refuse_cbor(request)
        shown = self._credentials(request, device_id)
        device = authenticate(self.services.database, device_id, shown, now=self.clock())
        self.board.mark_seen(device_id, self.clock())
        return device

    def _credentials(self, request: Request, device_id: str) -> Credentials:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if token and scheme in {Scheme.DEVICE.value, Scheme.GATEWAY.value}:
            return Credentials(scheme=Scheme(scheme), token=token)
        if self.proxy.vouches(request.headers.raw, _peer(request), device_id):
            return Credentials(scheme=Scheme.PROXY)
        raise UnknownCallerError("a device token is needed")

    def admin(self, request: Request) -> str:
        """Return the name of the account that sends a request which it may send.

        What may change something is written into the audit log first, also when it is refused.

        Raises:
            UnknownCallerError: The token is missing, unknown, expired or revoked.
            RefusedError: The token's role does not allow it.
        """
        if (known := getattr(request.state, "account", None)) is not None:
            return str(known)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnknownCallerError(
                "a token is needed", todo="send it as 'Authorization: Bearer <token>'"
            )
        accounts, now = self.services.accounts, self.clock()
        caller = accounts.authenticate(token.strip(), now=now)
        record_request(accounts, request, caller, address=self.caller_address(request), at=now)
        permission = needed(request.method, request.url.path.removeprefix(MANAGEMENT))
        if not caller.may(permission):
            raise RefusedError(f"a {caller.role.value} may not {permission.value}")
        request.state.account = caller.account
        return caller.account

    def caller_address(self, request: Request) -> str:
        """Return where a request comes from, as far as it can be believed."""
        return self.proxy.caller(request.headers.raw, _peer(request))

    def base(self, request: Request) -> str:
        """Return the address by which the caller reaches this server, without a final slash."""
        return self.proxy.base_url(request.headers.raw, request.url.scheme, _peer(request))


def refuse_cbor(request: Request) -> None:
    """Refuse the other encoding of the protocol before anybody tries to read it as JSON.

    Raises:
        UnknownFormatError: The body is CBOR.
    """
    if "cbor" in request.headers.get("content-type", ""):
        raise UnknownFormatError("CBOR is not read here", todo="send application/json")


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return a request's body.

    Raises:
        TooLargeError: It is larger than `limit` bytes.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


__all__ = ["CONTROLLER", "TUF", "Context", "read_body", "run_in_threadpool"]
