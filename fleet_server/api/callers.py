"""Who sends a request, before anything is checked, and whether it may come now.

One place for all requests but the probes of load balancers, which are never refused. Callers are
remembered by a number that is made anew in each process, never by what they show.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from starlette.types import Scope

from fleet_server.api.context import CONTROLLER, MANAGEMENT
from fleet_server.api.metrics import Metrics
from fleet_server.api.proxy import ProxyRule
from fleet_server.services.allowance import Allowance, WrongTokens
from fleet_server.services.errors import TooManyError
from fleet_server.services.limits import ServiceLimits

logger = logging.getLogger(__name__)

PROBES = frozenset({"/api/v1/alive", "/api/v1/health"})
METRICS = "/metrics"
OPEN = frozenset({"/api/v1/enrol", "/api/v1/session", "/api/v1/openapi.json"})
BURST_S, WRONG_BURST_S = 30.0, 100.0
"""A full bucket holds what a caller may ask for, or get wrong, in so many seconds."""


class Kind(StrEnum):
    """What a caller is counted by."""

    DEVICE = "device"
    TOKEN = "token"  # noqa: S105 (no secret)
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class CallerKey:
    """What a caller is counted by.

    Attributes:
        kind: Which limit holds.
        number: Tells callers apart within this process.
        address: Where it comes from, as far as that can be believed.
    """

    kind: Kind
    number: Hashable
    address: str


def device_key(device_id: str, token: str) -> int:
    """Return the number of a device that shows a token; another token is another caller."""
    return hash((device_id, token))


class Doorkeeper:
    """Counts who comes; for one event loop."""

    def __init__(self, limits: ServiceLimits, proxy: ProxyRule, metrics: Metrics) -> None:
        self._proxy = proxy
        self._metrics = metrics
        self._allowances = {
            Kind.DEVICE: _allowance(limits.device_requests_per_s),
            Kind.TOKEN: _allowance(limits.token_requests_per_s),
            Kind.ADDRESS: _allowance(limits.address_requests_per_s),
        }
        self._devices = self._allowances[Kind.DEVICE]
        wrong = limits.wrong_tokens_per_s
        self._wrong = WrongTokens(per_s=wrong, burst=max(1.0, wrong * WRONG_BURST_S))

    def lets_in(self, device_id: str, token: str) -> bool:
        """Count a poll that is known by heart; False leaves it to `admit` to say why not."""
        return self._devices.take(device_key(device_id, token), time.monotonic()) == 0

    def admit(self, scope: Scope) -> CallerKey:
        """Count a request and return who sent it.

        Raises:
            TooManyError: It comes too soon.
        """
        caller, at_s = self._caller(scope), time.monotonic()
        wait_s = self._wrong.wait_s(caller.number, caller.address, at_s)
        if wait_s > 0:
            self._refuse("wrong_token", wait_s, "too many wrong tokens came from this address")
        wait_s = self._allowances[caller.kind].take(caller.number, at_s)
        if wait_s > 0:
            self._refuse(caller.kind, wait_s, f"this {caller.kind.value} asks too often")
        return caller

    def answered(self, caller: CallerKey, status: int) -> bool:
        """Learn from an answer; says whether wrong tokens from its address have to wait now on."""
        if status == 401:
            begins = self._wrong.was_wrong(caller.number, caller.address, time.monotonic())
            if begins:
                logger.warning("wrong tokens", extra={"fields": {"address": caller.address}})
            return begins
        if status < 400 and caller.kind is not Kind.ADDRESS:
            self._wrong.was_right(caller.number)
        return False

    def _refuse(self, by: str, wait_s: float, what: str) -> None:
        self._metrics.refused.add(1, by)
        raise TooManyError(what, wait_s=ceil(wait_s))

    def _caller(self, scope: Scope) -> CallerKey:
        path, headers = scope["path"], scope["headers"]
        peer = scope["client"][0] if scope["client"] else ""
        shown = next((v for k, v in headers if k == b"authorization"), b"").decode("latin-1")
        address = self._proxy.caller(headers, peer)
        token = shown.partition(" ")[2]
        if path.startswith(CONTROLLER):
            device_id = path[len(CONTROLLER) :].partition("/")[0]
            if token or self._proxy.vouches(headers, peer, device_id):
                return CallerKey(Kind.DEVICE, device_key(device_id, token), address)
        elif token and (path.startswith(MANAGEMENT) or path == METRICS) and path not in OPEN:
            return CallerKey(Kind.TOKEN, hash(token), address)
        return CallerKey(Kind.ADDRESS, address, address)


def _allowance(per_s: float) -> Allowance:
    return Allowance(per_s=per_s, burst=max(1.0, per_s * BURST_S))
