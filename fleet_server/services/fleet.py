"""Devices as people see and set them: lists, labels, attributes, profiles, history, retries."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from edgekit.client.wire.devices import DeviceView, HistoryEntry
from edgekit.device import DeviceProfile
from edgekit.errors import ConflictError
from fleet_server.domain.deployment import FAILED_STATES
from fleet_server.domain.events import EventKind
from fleet_server.domain.selector import Selector
from fleet_server.services.attributes import Mode, merge
from fleet_server.services.errors import NotFoundError
from fleet_server.services.fleet_plan import PlanCache
from fleet_server.services.labelling import check_labels
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.profiles import check_profile
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.events import EventRecord
from fleet_server.services.views import device_view, history_entry

logger = logging.getLogger(__name__)

MAX_RETRIES = 2


class FleetService:
    """Reads and changes devices."""

    def __init__(self, database: Database, plans: PlanCache) -> None:
        self._database = database
        self._plans = plans

    def page(self, *, selector: Selector, after: str, limit: int) -> list[DeviceView]:
        """Return devices by name, beginning behind `after`."""
        with self._database.read() as tables:
            plan = self._plans.get(tables)
            devices = tables.devices.page(selector=selector, after=after, limit=limit)
            deployments = tables.deployments.of_devices(device.id for device in devices)
        return [device_view(d, deployments.get(d.id, []), plan) for d in devices]

    def view(self, device_id: str) -> DeviceView:
        """Return one device.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.read() as tables:
            device = _existing(tables, device_id)
            return device_view(
                device, tables.deployments.of_device(device_id), self._plans.get(tables)
            )

    def history(self, device_id: str) -> list[HistoryEntry]:
        """Return a device's deployments, oldest first.

        Raises:
            NotFoundError: There is no such device.
        """
        with self._database.read() as tables:
            _existing(tables, device_id)
            return [history_entry(d) for d in tables.deployments.of_device(device_id)]

    def set_labels(self, device_id: str, labels: Mapping[str, str]) -> DeviceView:
        """Replace the labels of a device; durable on return.

        Raises:
            NotFoundError: There is no such device.
            UsageError: No selector could name such a label.
        """
        check_labels(labels)
        with self._database.write() as tables:
            device = _existing(tables, device_id)
            tables.devices.put(replace(device, labels=dict(labels)))
            tables.changes.record(device_id)
        return self.view(device_id)

    def report_attributes(
        self, device_id: str, reported: Mapping[str, str | None], mode: Mode
    ) -> None:
        """Take what a device says about itself; durable on return.

        Raises:
            UsageError: A key or value is not allowed, or there are too many.
        """
        with self._database.together() as tables:
            device = _existing(tables, device_id)
            attributes = merge(device.attributes, reported, mode)
            after = replace(device, attributes=attributes, attributes_wanted=False)
            tables.devices.put(after)
            tables.changes.record(device_id)

    def report_profile(self, device_id: str, profile: DeviceProfile) -> None:
        """Take what a device can run; durable on return.

        Raises:
            UsageError: No device can be so.
        """
        check_profile(profile)
        with self._database.together() as tables:
            device = _existing(tables, device_id)
            if device.profile != profile:
                tables.devices.put(replace(device, profile=profile))
                tables.changes.record(device_id)

    def retry(self, device_id: str, *, by: str, now: datetime) -> list[HistoryEntry]:
        """Let a device be offered again what failed there; at most twice for a bundle.

        Returns:
            The device's deployments, oldest first.

        Raises:
            NotFoundError: There is no such device.
            ConflictError: Nothing failed there, or it was tried often enough.
        """
        with self._database.write() as tables:
            _existing(tables, device_id)
            deployments = tables.deployments.of_device(device_id)
            failed = [d for d in deployments if _counts_as_failed(d)]
            if not failed:
                raise ConflictError("nothing failed there", where=device_id)
            again = [d for d in failed if _retries(deployments, d.digest) < MAX_RETRIES]
            if not again:
                raise ConflictError(
                    f"was tried again {MAX_RETRIES} times already",
                    where=device_id,
                    todo="publish a new version",
                )
            for record in again:
                tables.deployments.put(replace(record, forgiven=True))
            tables.changes.record(device_id)
            text = f"{device_id} may be offered again what failed there, says {by}."
            kind = EventKind.DEVICE_RETRIED.value
            event = EventRecord(at=now, kind=kind, text=text, device=device_id, by=by)
            tables.events.tell(event)
        logger.info("retry allowed", extra={"fields": {"device": device_id}})
        return self.history(device_id)

    def pin(
        self, device_id: str, model: str, version: str | None, *, by: str, now: datetime
    ) -> DeviceView:
        """Install one release on one device whatever rollouts say; None lets them decide again.

        Raises:
            NotFoundError: There is no such device.
        """
        with self._database.write() as tables:
            device = _existing(tables, device_id)
            pins = {m: v for m, v in device.pins.items() if m != model}
            if version is not None:
                pins[model] = version
            tables.devices.put(replace(device, pins=pins))
            tables.changes.record(device_id)
            if pins != device.pins:
                tables.events.tell(_pinned(device_id, model, version, by=by, now=now))
        fields = {"device": device_id, "model": model, "version": version or "as rollouts say"}
        logger.info("device pinned", extra={"fields": fields})
        return self.view(device_id)

    def seen(self, times: Mapping[str, datetime]) -> None:
        """Store when devices polled last."""
        if times:
            with self._database.append() as tables:
                tables.devices.seen(times)


def _pinned(
    device_id: str, model: str, version: str | None, *, by: str, now: datetime
) -> EventRecord:
    kind = EventKind.DEVICE_UNPINNED if version is None else EventKind.DEVICE_PINNED
    what = f"what rollouts say of {model}" if version is None else f"{model} {version}"
    return EventRecord(
        at=now,
        kind=kind.value,
        text=f"{device_id} gets {what}, says {by}.",
        device=device_id,
        model=model,
        version=version or "",
        by=by,
    )


def _existing(tables: Tables, device_id: str) -> DeviceRecord:
    device = tables.devices.get(device_id)
    if device is None:
        raise NotFoundError("there is no such device", where=device_id)
    return device


def _counts_as_failed(record: DeploymentRecord) -> bool:
    return record.deployment.state in FAILED_STATES and not record.forgiven


def _retries(deployments: Sequence[DeploymentRecord], digest: str) -> int:
    return sum(d.forgiven for d in deployments if d.digest == digest)
