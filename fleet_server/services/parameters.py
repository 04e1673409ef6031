"""Parameters of models on single devices: set, shown, taken back, and what the device says."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from edgekit import codec
from edgekit.bundle import open_bundle
from edgekit.client.wire.parameters import ParametersView
from edgekit.errors import BundleError, ConflictError, UsageError
from edgekit.jobs import ParametersAnswer, ParametersOrder, ParametersOrders
from edgekit.parameters import check_parameters
from fleet_server.domain.events import EventKind
from fleet_server.services.errors import NotFoundError
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.ports.files import Blobs
from fleet_server.services.records.events import EventRecord
from fleet_server.services.records.parameters import ParametersRecord, ParametersState

logger = logging.getLogger(__name__)
MAX_BYTES = 16 << 10
MAX_DETAIL = 500


class ParametersService:
    """Every change is a new version; an earlier one is never replaced."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def set(
        self, device_id: str, model: str, values: Mapping[str, Any], *, by: str, now: datetime
    ) -> ParametersView:
        """Set parameters, all of them at once; durable on return.

        Raises:
            NotFoundError: There is no such device.
            ConflictError: It does not run the model, or runs what is not kept here.
            UsageError: What it runs takes no parameters, or others.
        """
        if len(codec.encode(dict(values))) > MAX_BYTES:
            raise UsageError(f"the parameters are larger than {MAX_BYTES} bytes", where=model)
        self._check(device_id, model, values)
        with self._database.write() as tables:
            version = _next(tables, device_id, model)
            return _add(
                tables,
                ParametersRecord(
                    device_id=device_id,
                    model=model,
                    version=version,
                    origin=version,
                    values=dict(values),
                    by=by,
                    at=now,
                ),
            )

    def back(self, device_id: str, model: str, *, by: str, now: datetime) -> ParametersView:
        """Set again what held before the present version, in the end the defaults.

        Raises:
            NotFoundError: There is no such device.
            ConflictError: The defaults hold already.
            UsageError: What the device runs takes other parameters than those.
        """
        before = _before(self._versions(device_id, model), device_id)
        if before is not None:
            self._check(device_id, model, before.values)
        with self._database.write() as tables:
            before = _before(_of(tables, device_id, model), device_id)
            return _add(
                tables,
                ParametersRecord(
                    device_id=device_id,
                    model=model,
                    version=_next(tables, device_id, model),
                    origin=before.version if before else 0,
                    values=before.values if before else {},
                    by=by,
                    at=now,
                ),
            )

    def history(self, device_id: str, model: str) -> list[ParametersView]:
        """Return every version, oldest first."""
        return [_view(record) for record in self._versions(device_id, model)]

    def present(self, device_id: str) -> list[ParametersView]:
        """Return the present version of each model."""
        with self._database.read() as tables:
            _existing(tables, device_id)
            return [_view(record) for record in _present(tables, device_id)]

    def orders(self, device_id: str) -> ParametersOrders:
        """Return what a device shall let hold."""
        with self._database.read() as tables:
            return ParametersOrders(
                parameters=tuple(
                    ParametersOrder(model=r.model, version=r.version, values=r.values)
                    for r in _present(tables, device_id)
                )
            )

    def answer(self, device_id: str, answers: Sequence[ParametersAnswer]) -> None:
        """Take what a device says of its parameters; what it cannot know of is passed over."""
        with self._database.write() as tables:
            known = {(r.model, r.version): r for r in tables.parameters.of_device(device_id)}
            for said in answers:
                record = known.get((said.model, said.version))
                if record is None:
                    continue
                state = ParametersState.REFUSED if said.refused else ParametersState.APPLIED
                answered = replace(
                    record,
                    state=state,
                    digest=said.digest[:64],
                    detail=said.refused[:MAX_DETAIL],
                )
                if answered != record:
                    tables.parameters.answered(answered)
                    fields = {"device": device_id, "model": said.model, "version": said.version}
                    fields |= {"state": state.value, "detail": answered.detail}
                    logger.info("parameters answered", extra={"fields": fields})

    def _versions(self, device_id: str, model: str) -> list[ParametersRecord]:
        with self._database.read() as tables:
            _existing(tables, device_id)
            return _of(tables, device_id, model)

    def _check(self, device_id: str, model: str, values: Mapping[str, Any]) -> None:
        with self._database.read() as tables:
            digest = _existing(tables, device_id).get(model, "")
        path = self._blobs.find(digest) if digest else None
        if path is None:
            raise ConflictError(
                f"{device_id} runs no release of {model} that is kept here",
                where=model,
                todo=f"look at: edgekit device show {device_id}",
            )
        try:
            manifest = open_bundle(path).manifest
        except BundleError as error:
            raise UsageError("what runs there takes no parameters", where=model) from error
        where = f"{model} {manifest.version}"
        if manifest.parameters_schema is None:
            raise UsageError("takes no parameters", where=where)
        if values:
            check_parameters(manifest.parameters_schema, values, where=where)


def _existing(tables: Tables, device_id: str) -> Mapping[str, str]:
    """Return what a device runs."""
    device = tables.devices.get(device_id)
    if device is None:
        raise NotFoundError("there is no such device", where=device_id)
    return device.running


def _of(tables: Tables, device_id: str, model: str) -> list[ParametersRecord]:
    return [r for r in tables.parameters.of_device(device_id) if r.model == model]


def _present(tables: Tables, device_id: str) -> list[ParametersRecord]:
    return list({r.model: r for r in tables.parameters.of_device(device_id)}.values())


def _next(tables: Tables, device_id: str, model: str) -> int:
    return max((r.version for r in _of(tables, device_id, model)), default=0) + 1


def _before(versions: Sequence[ParametersRecord], device_id: str) -> ParametersRecord | None:
    """Return what a person wrote before the present values; None for the defaults.

    Raises:
        ConflictError: The defaults hold.
    """
    origin = versions[-1].origin if versions else 0
    if not origin:
        raise ConflictError("the defaults hold already", where=device_id)
    written = [r for r in versions if r.origin == r.version and r.version < origin]
    return written[-1] if written else None


def _add(tables: Tables, record: ParametersRecord) -> ParametersView:
    tables.parameters.add(record)
    tables.changes.record(record.device_id)
    back = record.origin != record.version
    what = f"version {record.origin}" if record.origin else "the defaults"
    text = f"again those of {what}" if back else f"version {record.version}"
    tables.events.tell(
        EventRecord(
            at=record.at,
            kind=EventKind.DEVICE_PARAMETERS.value,
            text=f"{record.device_id} gets parameters of {record.model}: {text}, says {record.by}.",
            device=record.device_id,
            model=record.model,
            by=record.by,
        )
    )
    return _view(record)


def _view(record: ParametersRecord) -> ParametersView:
    return ParametersView(
        device=record.device_id,
        model=record.model,
        version=record.version,
        origin=record.origin,
        values=record.values,
        by=record.by,
        at=record.at.isoformat(),
        state=record.state.value,
        digest=record.digest,
        detail=record.detail,
    )
