"""Who a device is: by its own token, by a gateway's, or because a trusted proxy says so.

A gateway's token speaks for the devices that came through a gateway and makes new ones known; it
never speaks for a device that has a token of its own. Revoked devices are nobody.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from fleet_server.domain.events import EventKind
from fleet_server.services.enrolment import DEVICE_ID
from fleet_server.services.errors import UnknownCallerError
from fleet_server.services.ports.database import Database
from fleet_server.services.records.devices import DeviceRecord, DeviceState
from fleet_server.services.records.events import EventRecord
from fleet_server.services.tokens import digest_of, new_token

logger = logging.getLogger(__name__)

PROXY = "proxy"


class Scheme(StrEnum):
    """How a caller shows who it is."""

    DEVICE = "TargetToken"
    GATEWAY = "GatewayToken"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a caller shows.

    Attributes:
        scheme: How.
        token: The token; empty for a proxy, which was believed by its address already.
    """

    scheme: Scheme = Scheme.DEVICE
    token: str = ""


def authenticate(
    database: Database, device_id: str, shown: Credentials, *, now: datetime
) -> DeviceRecord:
    """Return the device that calls; a new token is taken into use, a gateway's device is made.

    Raises:
        UnknownCallerError: No such device, another token, or revoked; all look the same.
    """
    with database.read() as tables:
        device = tables.devices.get(device_id)
        gateway = (
            tables.tokens.gateway(digest_of(shown.token))
            if shown.scheme is Scheme.GATEWAY
            else None
        )
    if device is not None and device.state is DeviceState.REVOKED:
        raise UnknownCallerError("unknown device or token")
    match shown.scheme:
        case Scheme.DEVICE:
            return _by_own_token(database, device, shown.token)
        case Scheme.GATEWAY if gateway is not None and (device is None or device.gateway):
            return device or _register(database, device_id, by=gateway, gateway=True, now=now)
        case Scheme.PROXY:
            return device or _register(database, device_id, by=PROXY, gateway=False, now=now)
        case _:
            pass
    raise UnknownCallerError("unknown device or token")


def is_own_token(device: DeviceRecord, shown: Credentials) -> bool:
    """Say whether a device shows its present token; whatever else it shows, ask `authenticate`."""
    return (
        shown.scheme is Scheme.DEVICE
        and device.state is not DeviceState.REVOKED
        and hmac.compare_digest(device.token_sha256, digest_of(shown.token))
    )


def seat_digest(shown: Credentials) -> str:
    """Return what tells whether a later request shows the same."""
    return digest_of(shown.token)


def _by_own_token(database: Database, device: DeviceRecord | None, token: str) -> DeviceRecord:
    digest = digest_of(token)
    present = hmac.compare_digest(device.token_sha256 if device else "", digest)
    following = hmac.compare_digest(device.next_token_sha256 if device else "", digest)
    if device is None or not (present or following):
        raise UnknownCallerError("unknown device or token")
    if present:
        return device
    with database.write() as tables:
        current = tables.devices.get(device.id)
        if current is None or current.next_token_sha256 != digest:
            raise UnknownCallerError("unknown device or token")
        device = replace(current, token_sha256=digest, next_token_sha256="")
        tables.devices.put(device)
        tables.changes.record(device.id)
    logger.info("device token rotated", extra={"fields": {"device": device.id}})
    return device


def _register(
    database: Database, device_id: str, *, by: str, gateway: bool, now: datetime
) -> DeviceRecord:
    if not DEVICE_ID.fullmatch(device_id):
        raise UnknownCallerError("unknown device or token")
    with database.write() as tables:
        known = tables.devices.get(device_id)
        if known is not None:
            return known
        made = DeviceRecord(
            id=device_id,
            token_sha256=digest_of(new_token()),  # nobody knows it
            enrolled_by=by[:64],
            enrolled_at=now,
            gateway=gateway,
        )
        tables.devices.put(made)
        tables.changes.record(device_id)
        text = f"{device_id} is known by {by}."
        kind = EventKind.DEVICE_ENROLLED.value
        tables.events.tell(EventRecord(at=now, kind=kind, text=text, device=device_id))
    logger.info("device registered", extra={"fields": {"device": device_id, "by": by}})
    return made
