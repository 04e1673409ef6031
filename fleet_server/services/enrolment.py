"""Who may become a device: enrolment tokens of limited uses and life."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import replace
from datetime import datetime, timedelta

from edgekit.client.wire.admission import EnrolmentToken, NewEnrolmentToken
from edgekit.errors import ConflictError, UsageError
from edgekit.protocol import TENANT, EnrolRequest, EnrolResponse
from fleet_server.domain.events import EventKind
from fleet_server.services.attributes import check_attributes
from fleet_server.services.errors import UnknownCallerError
from fleet_server.services.labelling import check_labels
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.profiles import check_profile
from fleet_server.services.records.devices import DeviceRecord, DeviceState, EnrolmentRecord
from fleet_server.services.records.events import EventRecord
from fleet_server.services.tokens import digest_of, new_token
from fleet_server.services.trust import TrustService

logger = logging.getLogger(__name__)

DEVICE_ID = re.compile(r"[A-Za-z0-9._-]{1,256}")
_MAX_LIFE_S = 365 * 86400.0


class EnrolmentService:
    """Makes enrolment tokens and turns them into devices."""

    def __init__(self, database: Database, trust: TrustService) -> None:
        self._database = database
        self._trust = trust

    def new_token(self, wanted: NewEnrolmentToken, *, now: datetime) -> EnrolmentToken:
        """Make an enrolment token; it is shown once.

        Raises:
            UsageError: Uses or life make no sense.
            ConflictError: There is no root metadata yet that a device could pin.
        """
        if wanted.uses < 1 or not 0 < wanted.life_s <= _MAX_LIFE_S:
            raise UsageError("an enrolment token needs at least one use, and a life up to a year")
        check_labels(wanted.labels)
        if not all(DEVICE_ID.fullmatch(device_id) for device_id in wanted.device_ids):
            raise UsageError("a device's name is 1 to 256 letters, digits, '.', '_' and '-'")
        root = self._root()
        token, expires_at = new_token(), now + timedelta(seconds=wanted.life_s)
        with self._database.write() as tables:
            tables.tokens.put_enrolment(
                EnrolmentRecord(
                    token_sha256=digest_of(token),
                    uses_left=wanted.uses,
                    expires_at=expires_at,
                    labels=wanted.labels,
                    accept=wanted.accept,
                    device_ids=wanted.device_ids,
                )
            )
        return EnrolmentToken(
            token=token,
            uses=wanted.uses,
            expires_at=expires_at.isoformat(),
            root_sha256=hashlib.sha256(root).hexdigest(),
        )

    def enrol(self, request: EnrolRequest, *, now: datetime) -> EnrolResponse:
        """Make a device known; durable on return.

        A device that never polled may enrol again with the same token, because the answer to its
        first attempt may have been lost. A token that names the device lets other hardware take
        its place: it gets a new token, and history, labels and pins stay.

        Raises:
            UnknownCallerError: The token is unknown, expired or used up.
            UsageError: The name, an attribute or the profile cannot be used.
            ConflictError: There is such a device already.
        """
        if not DEVICE_ID.fullmatch(request.device_id):
            raise UsageError("a device's name is 1 to 256 letters, digits, '.', '_' and '-'")
        check_attributes(request.attributes)
        check_profile(request.profile)
        root, token = self._root(), new_token()
        with self._database.write() as tables:
            used = _use(tables, request, now=now)
            known = tables.devices.get(request.device_id)
            tables.devices.put(
                DeviceRecord(
                    id=request.device_id,
                    token_sha256=digest_of(token),
                    enrolled_by=digest_of(request.token),
                    enrolled_at=now,
                    labels={**used.labels, **(known.labels if known else {})},
                    attributes=request.attributes,
                    profile=request.profile,
                    attributes_wanted=False,
                    state=DeviceState.ACTIVE if used.accept else DeviceState.PENDING,
                    pins=known.pins if known else {},
                )
            )
            tables.changes.record(request.device_id)
            tables.events.tell(_event(request.device_id, used, known, now=now))
        logger.info("device enrolled", extra={"fields": {"device": request.device_id}})
        return EnrolResponse(
            device_id=request.device_id, device_token=token, tenant=TENANT, root=root.decode()
        )

    def _root(self) -> bytes:
        root = self._trust.current("root")
        if root is None:
            raise ConflictError(
                "there is no root metadata yet that devices could pin",
                todo="run: edgekit keys install",
            )
        return root


def _event(
    device_id: str, used: EnrolmentRecord, known: DeviceRecord | None, *, now: datetime
) -> EventRecord:
    if not used.accept:
        kind, text = EventKind.DEVICE_WAITS, f"{device_id} waits to be accepted."
    elif known is not None and known.last_seen_at is not None:
        kind, text = EventKind.DEVICE_REPLACED, f"Other hardware is {device_id} now."
    else:
        kind, text = EventKind.DEVICE_ENROLLED, f"{device_id} is enrolled."
    return EventRecord(at=now, kind=kind.value, text=text, device=device_id)


def _use(tables: Tables, request: EnrolRequest, *, now: datetime) -> EnrolmentRecord:
    """Take one use of the token."""
    record = tables.tokens.enrolment(digest_of(request.token))
    known = tables.devices.get(request.device_id)
    if record is None or record.expires_at <= now:
        raise UnknownCallerError("the enrolment token is unknown or expired")
    if record.device_ids and request.device_id not in record.device_ids:
        raise UnknownCallerError("the enrolment token is for other devices")
    if known is not None:
        again = known.enrolled_by == record.token_sha256 and known.last_seen_at is None
        if again and known.state is not DeviceState.REVOKED:
            return record
        if not record.device_ids:
            raise ConflictError("there is a device of that name", where=request.device_id)
    if record.uses_left < 1:
        raise UnknownCallerError("the enrolment token is used up")
    tables.tokens.put_enrolment(replace(record, uses_left=record.uses_left - 1))
    return record
