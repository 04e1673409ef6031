"""Confirmations: an offer waits until the device, or a person for it, says yes.

Beside them declarations of what a foreign device runs already.

Source: hawkBit DDI, `confirmationBase` and `installedBase`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from edgekit.confirmation import Confirmation, ConfirmationFeedback, NewAutoConfirm
from edgekit.errors import ConflictError
from fleet_server.domain.deployment import Deployment, DeploymentState
from fleet_server.services.errors import GoneError, NotFoundError
from fleet_server.services.fleet_plan import KEPT_STATES, PlanCache
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.deployments import DeploymentRecord, FeedbackRecord
from fleet_server.services.records.devices import AutoConfirm, DeviceRecord
from fleet_server.services.records.releases import VariantRecord

logger = logging.getLogger(__name__)


class ConfirmationService:
    """Takes confirmations from devices and from people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, device_id: str) -> tuple[DeviceRecord, int | None]:
        """Return a device, and the number of the offer that waits for its confirmation."""
        with self._database.read() as tables:
            return _device(tables, device_id), _waiting(tables, device_id)

    def waiting(self, device_id: str, action: int) -> DeploymentRecord:
        """Return an offer that waits for confirmation.

        Raises:
            NotFoundError: It is not this device's, or does not wait.
        """
        with self._database.read() as tables:
            record = tables.deployments.get(action)
        if record is None or record.deployment.device_id != device_id or not record.awaiting:
            raise NotFoundError("no such action waits for confirmation", where=str(action))
        return record

    def answer(
        self, device_id: str, action: int, said: ConfirmationFeedback, *, now: datetime
    ) -> None:
        """Confirm an offer, or deny it: then it waits, also when it was confirmed before.

        Raises:
            NotFoundError: It is not this device's, or cannot wait any more.
            GoneError: It is closed.
        """
        with self._database.write() as tables:
            record = tables.deployments.get(action)
            if record is None or record.deployment.device_id != device_id:
                raise NotFoundError("there is no such action of this device", where=str(action))
            if not record.is_open:
                raise GoneError("the action is closed", where=str(action))
            denied = said.confirmation is Confirmation.DENIED
            if not record.awaiting and not (
                denied and record.deployment.state is DeploymentState.OFFERED
            ):
                raise NotFoundError("the action does not wait", where=str(action))
            kept = FeedbackRecord(at=now, execution=said.confirmation.value, messages=said.details)
            tables.deployments.heard(action, kept)
            tables.deployments.put(replace(record, awaiting=denied))
            tables.changes.record(device_id)
        fields = {"action": action, "device": device_id, "said": said.confirmation.value}
        logger.info("confirmation", extra={"fields": fields})

    def confirm_for(self, device_id: str, *, by: str, now: datetime) -> None:
        """Confirm, as a person, what waits on a device.

        Raises:
            NotFoundError: There is no such device.
            ConflictError: Nothing waits.
        """
        _, action = self.state(device_id)
        if action is None:
            raise ConflictError("nothing waits for confirmation", where=device_id)
        said = ConfirmationFeedback(
            confirmation=Confirmation.CONFIRMED, details=(f"confirmed by {by}",)
        )
        self.answer(device_id, action, said, now=now)

    def activate(self, device_id: str, wanted: NewAutoConfirm, *, now: datetime) -> None:
        """Confirm whatever waits and will be offered.

        Raises:
            ConflictError: That is so already.
        """
        with self._database.write() as tables:
            device = _device(tables, device_id)
            if device.auto_confirm is not None:
                raise ConflictError("is confirmed automatically already", where=device_id)
            given = AutoConfirm(
                initiator=wanted.initiator[:64], remark=wanted.remark[:512], activated_at=now
            )
            tables.devices.put(replace(device, auto_confirm=given))
            action = _waiting(tables, device_id)
            record = tables.deployments.get(action) if action is not None else None
            if record is not None:
                tables.deployments.put(replace(record, awaiting=False))
            tables.changes.record(device_id)

    def deactivate(self, device_id: str) -> None:
        """Ask for every further offer again."""
        with self._database.write() as tables:
            tables.devices.put(replace(_device(tables, device_id), auto_confirm=None))
            tables.changes.record(device_id)


class InstalledService:
    """Takes what foreign devices say that they run."""

    def __init__(self, database: Database, plans: PlanCache) -> None:
        self._database = database
        self._plans = plans

    def declare(self, device_id: str, model: str, version: str, *, now: datetime) -> bool:
        """Record that a device runs a release that this server did not bring.

        Returns:
            False when that was known.

        Raises:
            NotFoundError: There is no such release, or no variant of it fits the device.
        """
        with self._database.write() as tables:
            device = _device(tables, device_id)
            mine = [
                d for d in tables.deployments.of_device(device_id) if d.deployment.model == model
            ]
            kept = [d for d in mine if d.deployment.state in KEPT_STATES]
            if kept and kept[-1].deployment.version == version:
                return False
            variant = self._plans.get(tables).pick(model, version, device)
            if variant is None:
                raise NotFoundError("there is no such release for it", where=f"{model} {version}")
            tables.deployments.add(_declared(device_id, model, version, variant, now=now))
            tables.changes.record(device_id)
        return True


def _declared(
    device_id: str, model: str, version: str, variant: VariantRecord, *, now: datetime
) -> DeploymentRecord:
    deployment = Deployment(
        id=0,
        device_id=device_id,
        rollout_id="",
        model=model,
        version=version,
        variant=variant.variant,
        state=DeploymentState.REPORTED,
        offered_at=now,
        changed_at=now,
    )
    return DeploymentRecord(
        deployment=deployment,
        digest=variant.digest,
        detail="declared by the device",
        ended_at=now,
        retrieved=True,
    )


def _device(tables: Tables, device_id: str) -> DeviceRecord:
    device = tables.devices.get(device_id)
    if device is None:
        raise NotFoundError("there is no such device", where=device_id)
    return device


def _waiting(tables: Tables, device_id: str) -> int | None:
    mine = tables.deployments.of_device(device_id)
    return next((d.deployment.id for d in mine if d.is_open and d.awaiting), None)
