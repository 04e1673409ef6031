"""Which devices may speak: made known, accepted, rotated, quarantined, revoked.

A person decides here; a device only shows its token. What changes takes effect at the device's
next request in this process, and within seconds in every other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from edgekit.client.wire.admission import DeviceToken, GatewayToken
from edgekit.errors import ConflictError, UsageError
from fleet_server.domain.events import EventKind
from fleet_server.services.enrolment import DEVICE_ID
from fleet_server.services.errors import NotFoundError
from fleet_server.services.labelling import check_labels
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.devices import DeviceRecord, DeviceState
from fleet_server.services.records.events import EventRecord
from fleet_server.services.tokens import digest_of, new_token

logger = logging.getLogger(__name__)

Change = Callable[[DeviceRecord], DeviceRecord]
CLONED = "two machines speak for it: the boots that it reports alternate"
_MAX_BOOTS = 20
_MAX_BOOT_CHARS = 64


class AdmissionService:
    """Lets devices in and keeps them out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last_boot: dict[str, str] = {}

    def add(
        self, device_id: str, labels: Mapping[str, str], *, by: str, now: datetime
    ) -> DeviceToken:
        """Make a device known that cannot enrol by itself; its token is shown once.

        Raises:
            UsageError: The name or a label cannot be used.
            ConflictError: There is such a device.
        """
        if not DEVICE_ID.fullmatch(device_id):
            raise UsageError("a device's name is 1 to 256 letters, digits, '.', '_' and '-'")
        check_labels(labels)
        token = new_token()
        with self._database.write() as tables:
            if tables.devices.get(device_id) is not None:
                raise ConflictError("there is a device of that name", where=device_id)
            tables.devices.put(
                DeviceRecord(
                    id=device_id,
                    token_sha256=digest_of(token),
                    enrolled_by="",
                    enrolled_at=now,
                    labels=dict(labels),
                )
            )
            tables.changes.record(device_id)
            text = f"{device_id} is known by {by}."
            event = _event(device_id, EventKind.DEVICE_ENROLLED, text, by=by, now=now)
            tables.events.tell(event)
        return DeviceToken(device_id=device_id, token=token)

    def rotate(self, device_id: str) -> DeviceToken:
        """Make the token that follows; the present one is valid until the new one is used.

        Raises:
            NotFoundError: There is no such device.
            ConflictError: It is revoked.
        """
        token = new_token()

        def change(device: DeviceRecord) -> DeviceRecord:
            if device.state is DeviceState.REVOKED:
                raise ConflictError("is revoked", where=device_id, todo="let it enrol again")
            return replace(device, next_token_sha256=digest_of(token))

        self._change(device_id, change)
        logger.info("device token offered", extra={"fields": {"device": device_id}})
        return DeviceToken(device_id=device_id, token=token)

    def revoke(self, device_id: str, reason: str, *, by: str, now: datetime) -> None:
        """Make a device's token worthless; its history stays."""
        text = f"{device_id} is revoked by {by}{_because(reason)}"
        self._change(
            device_id,
            lambda d: replace(d, state=DeviceState.REVOKED, next_token_sha256="", alarm=reason),
            _event(device_id, EventKind.DEVICE_REVOKED, text, by=by, now=now, reason=reason),
        )

    def quarantine(self, device_id: str, reason: str, *, by: str, now: datetime) -> None:
        """Offer a device nothing more, and count it as no evidence; it may still report."""
        text = f"{device_id} is quarantined by {by}{_because(reason)}"
        self._change(
            device_id,
            lambda d: _quarantined(d, reason),
            _event(device_id, EventKind.DEVICE_QUARANTINED, text, by=by, now=now, reason=reason),
        )

    def accept(self, device_id: str, *, by: str, now: datetime) -> None:
        """Let in a device that waits, or out one that is quarantined.

        Raises:
            ConflictError: It is revoked.
        """

        def change(device: DeviceRecord) -> DeviceRecord:
            if device.state is DeviceState.REVOKED:
                raise ConflictError("is revoked", where=device_id, todo="let it enrol again")
            return replace(device, state=DeviceState.ACTIVE, alarm="", boots=())

        text = f"{device_id} is accepted by {by}."
        event = _event(device_id, EventKind.DEVICE_ACCEPTED, text, by=by, now=now)
        self._change(device_id, change, event)
        self._last_boot.pop(device_id, None)

    def is_new_boot(self, device_id: str, boot_id: str) -> bool:
        """Say, from memory alone, whether a boot is worth `watch_boot`."""
        return bool(boot_id) and self._last_boot.get(device_id) != boot_id[:_MAX_BOOT_CHARS]

    def watch_boot(self, device_id: str, boot_id: str, *, now: datetime) -> None:
        """Notice two machines with one identity: a machine never returns to an earlier boot."""
        boot_id = boot_id[:_MAX_BOOT_CHARS]
        with self._database.write() as tables:
            device = _existing(tables, device_id)
            boots = device.boots
            if not boots or boots[-1] != boot_id:
                if boot_id in boots and device.state is DeviceState.ACTIVE:
                    tables.devices.put(_quarantined(device, CLONED))
                    text = f"{device_id} is quarantined: {CLONED}."
                    event = _event(device_id, EventKind.DEVICE_CLONED, text, by="", now=now)
                    tables.events.tell(event)
                    fields = {"device": device_id, "alarm": CLONED}
                    logger.warning("device needs attention", extra={"fields": fields})
                else:
                    seen = (*boots, boot_id)[-_MAX_BOOTS:]
                    tables.devices.put(replace(device, boots=seen))
                tables.changes.record(device_id)
        self._last_boot[device_id] = boot_id

    def add_gateway(self, name: str, *, now: datetime) -> GatewayToken:
        """Make a token that speaks for every device behind a gateway; shown once."""
        if not DEVICE_ID.fullmatch(name):
            raise UsageError("a gateway's name is 1 to 256 letters, digits, '.', '_' and '-'")
        token = new_token()
        with self._database.write() as tables:
            tables.tokens.put_gateway(digest_of(token), name[:128], now=now)
        return GatewayToken(name=name, token=token)

    def drop_gateway(self, name: str) -> None:
        """Make a gateway's tokens worthless.

        Raises:
            NotFoundError: There is no such gateway.
        """
        with self._database.write() as tables:
            if not tables.tokens.drop_gateway(name):
                raise NotFoundError("there is no such gateway", where=name)
            tables.changes.record(None)

    def _change(self, device_id: str, change: Change, event: EventRecord | None = None) -> None:
        with self._database.write() as tables:
            before = _existing(tables, device_id)
            after = change(before)
            tables.devices.put(after)
            tables.changes.record(device_id)
            if event is not None and after.state is not before.state:
                tables.events.tell(event)
        if event is not None:
            logger.info(event.kind, extra={"fields": {"device": device_id, "by": event.by}})


def _event(
    device_id: str, kind: EventKind, text: str, *, by: str, now: datetime, reason: str = ""
) -> EventRecord:
    body = {"reason": reason} if reason else {}
    return EventRecord(at=now, kind=kind.value, text=text, device=device_id, by=by, body=body)


def _because(reason: str) -> str:
    return f": {reason}" if reason else "."


def _quarantined(device: DeviceRecord, reason: str) -> DeviceRecord:
    return replace(device, state=DeviceState.QUARANTINED, alarm=reason)


def _existing(tables: Tables, device_id: str) -> DeviceRecord:
    device = tables.devices.get(device_id)
    if device is None:
        raise NotFoundError("there is no such device", where=device_id)
    return device
