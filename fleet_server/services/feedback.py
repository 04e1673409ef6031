"""What a device says about a deployment: read offers, reported progress, ends, cancels.

Only EdgeKit's own outcome `committed` confirms. A foreign client's success is stored as reported.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from edgekit.protocol import EdgeKitStatus, Execution, Feedback, Finished, Outcome, Reason
from fleet_server.domain.deployment import (
    FAILED_STATES,
    DeploymentEvent,
    DeploymentState,
    apply,
)
from fleet_server.domain.events import EventKind
from fleet_server.services.errors import GoneError, NotFoundError, TooManyError
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.deployments import DeploymentRecord, FeedbackRecord
from fleet_server.services.records.events import EventRecord

logger = logging.getLogger(__name__)

PROBATION = "probation"
MAX_FEEDBACKS = 1000
MAX_MESSAGES = 50
_DETAIL_CHARS = 512
_E = DeploymentEvent
_OUTCOMES = {
    Outcome.COMMITTED: _E.COMMIT,
    Outcome.UNEXERCISED: _E.COMMIT_UNEXERCISED,
    Outcome.REJECTED: _E.REJECT,
    Outcome.REVERTED: _E.REVERT,
    Outcome.FAILED: _E.FAIL,
    Outcome.SHADOWED: _E.SHADOW,
}
FINAL_EVENTS = frozenset({*_OUTCOMES.values(), _E.REPORT_SUCCESS})
_PROGRESS = frozenset(
    {
        Execution.PROCEEDING,
        Execution.SCHEDULED,
        Execution.RESUMED,
        Execution.DOWNLOAD,
        Execution.DOWNLOADED,
    }
)


def event_of(feedback: Feedback) -> DeploymentEvent | None:
    """Return what a feedback means for a deployment; None when it is only for the record.

    Source: hawkBit DDI, mapping of deploymentBase feedback; `rejected` and `canceled` of a
    foreign client leave the action open there and here.
    """
    status = feedback.status
    if status.edgekit is not None and status.edgekit.outcome is not None:
        return _OUTCOMES[status.edgekit.outcome]
    if status.execution is Execution.CLOSED:
        failed = status.result.finished is Finished.FAILURE
        return _E.FAIL if failed else _E.REPORT_SUCCESS
    if status.edgekit is not None and status.edgekit.state.lower() == PROBATION:
        return _E.ACTIVATE
    return _E.DOWNLOAD if status.execution in _PROGRESS else None


class FeedbackService:
    """Applies what devices say to their deployments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def offered(self, device_id: str, action: int) -> DeploymentRecord:
        """Return an offer that goes on.

        Raises:
            NotFoundError: There is no such open deployment of this device.
        """
        with self._database.read() as tables:
            record = _own(tables, device_id, action)
        if not record.is_open or record.awaiting:
            raise NotFoundError("there is no such open action", where=str(action))
        return record

    def fetch(self, device_id: str, action: int) -> DeploymentRecord:
        """Return an offer that goes on, and remember that the device has read it.

        Raises:
            NotFoundError: There is no such open deployment of this device.
        """
        record = self.offered(device_id, action)
        if not record.retrieved:
            with self._database.together() as tables:
                record = replace(_own(tables, device_id, action), retrieved=True)
                tables.deployments.put(record)
        return record

    def said(self, action: int, *, limit: int) -> Sequence[FeedbackRecord]:
        """Return what a device said about an action, newest first.

        Args:
            action: Its number.
            limit: 0 for nothing, below 0 or above 100 for 100.
        """
        if limit == 0:
            return ()
        with self._database.read() as tables:
            return tables.deployments.said(action, limit=100 if limit < 0 else min(limit, 100))

    def installed(self, device_id: str, action: int) -> DeploymentRecord:
        """Return a deployment that the device kept.

        Raises:
            NotFoundError: It goes on, or did not end that way.
        """
        with self._database.read() as tables:
            record = _own(tables, device_id, action)
        if record.is_open or record.deployment.state is DeploymentState.WITHDRAWN:
            raise NotFoundError("there is no such closed action", where=str(action))
        return record

    def report(
        self, device_id: str, action: int, feedback: Feedback, *, now: datetime
    ) -> DeploymentRecord:
        """Apply a feedback; durable on return.

        Raises:
            NotFoundError: The action is not this device's.
            GoneError: It is closed; nothing changed.
            IllegalTransitionError: It cannot follow what was reported before.
        """
        with self._database.together() as tables:
            record = _own(tables, device_id, action)
            state = record.deployment.state
            if not record.is_open and state is not DeploymentState.WITHDRAWN:
                raise GoneError("the action is closed", where=str(action))
            if record.awaiting:
                raise NotFoundError("the action waits for confirmation", where=str(action))
            event = event_of(feedback)
            _keep(tables, record, feedback, final=event in FINAL_EVENTS, now=now)
            if event is None:
                return record
            after = _after(record, event, feedback, now=now)
            if after == record:
                return record
            if after.is_open and not record.is_open:
                _make_room(tables, device_id, now=now)
            tables.deployments.put(after)
            if state is not after.deployment.state:
                tables.changes.record(device_id)
                _learn(tables, device_id, after)
                if after.deployment.state in FAILED_STATES:
                    tables.events.tell(_failure(after, now=now))
        _log(after)
        return after

    def cancelled(self, device_id: str, action: int) -> DeploymentRecord:
        """Return a deployment that the device shall give up.

        Raises:
            NotFoundError: It was not taken back.
        """
        with self._database.read() as tables:
            record = _own(tables, device_id, action)
        if record.deployment.state is not DeploymentState.WITHDRAWN:
            raise NotFoundError("the action is not cancelled", where=str(action))
        return record

    def report_cancel(self, device_id: str, action: int, feedback: Feedback) -> bool:
        """Apply what a device says about giving up; durable on return.

        Returns:
            False when the action is not being cancelled; nothing changed then.

        Raises:
            NotFoundError: The action is not this device's.
        """
        with self._database.together() as tables:
            record = _own(tables, device_id, action)
            if record.deployment.state is not DeploymentState.WITHDRAWN:
                return False
            ends = {Execution.CLOSED, Execution.REJECTED}
            if record.cancelling and feedback.status.execution in ends:
                tables.deployments.put(replace(record, cancelling=False))
                tables.changes.record(device_id)
        return True


def _own(tables: Tables, device_id: str, action: int) -> DeploymentRecord:
    record = tables.deployments.get(action)
    if record is None or record.deployment.device_id != device_id:
        raise NotFoundError("there is no such action of this device", where=str(action))
    return record


def _after(
    record: DeploymentRecord, event: DeploymentEvent, feedback: Feedback, *, now: datetime
) -> DeploymentRecord:
    said = feedback.status.edgekit or EdgeKitStatus()
    reason, detail = said.reason.value, _detail(feedback)
    if event is _E.COMMIT and said.digest not in {"", record.digest}:
        event, reason = _E.FAIL, Reason.DIGEST.value
        detail = f"says that it committed, but runs {said.digest[:12]}"
    if event is _E.SHADOW and record.shadow is None:
        event, detail = _E.FAIL, "says that it only tried what it was to install"
    if event is _E.REJECT and record.deployment.state is DeploymentState.ACTIVATED:
        event = _E.REVERT  # it ran on trial: refusing it now is going back
    deployment = apply(record.deployment, event, now=now, reason=reason)
    found = record.found
    if record.shadow is not None and said.shadow is not None and said.shadow.is_sound:
        found = said.shadow
    after = replace(record, deployment=deployment, detail=detail or record.detail, found=found)
    ran = deployment.state in {
        DeploymentState.ACTIVATED,
        DeploymentState.COMMITTED,
        DeploymentState.UNEXERCISED,
    }
    return replace(
        after,
        activated_at=record.activated_at or (now if ran else None),
        ended_at=None if after.is_open else (now if record.is_open else record.ended_at or now),
        cancelling=record.cancelling and deployment.state is DeploymentState.WITHDRAWN,
    )


def _keep(
    tables: Tables, record: DeploymentRecord, feedback: Feedback, *, final: bool, now: datetime
) -> None:
    """Keep what was said; a device that never stops talking is stopped, its last word is not."""
    status, action = feedback.status, record.deployment.id
    pieces = [
        line[start : start + _DETAIL_CHARS]
        for line in status.details
        for start in range(0, max(1, len(line)), _DETAIL_CHARS)
    ]
    if status.code is not None:
        pieces.append(f"Device reported status code: {status.code}")
    said = tables.deployments.heard_count(action)
    if not final and (len(pieces) > MAX_MESSAGES or said >= MAX_FEEDBACKS):
        raise TooManyError("too much was said about this action", where=str(action))
    kept = FeedbackRecord(at=now, execution=status.execution.value, messages=tuple(pieces))
    tables.deployments.heard(action, kept)


def _detail(feedback: Feedback) -> str:
    lines = [line for line in feedback.status.details if line.strip()]
    text = " ".join(lines[-1].split()) if lines else ""
    return text[:_DETAIL_CHARS]


def _make_room(tables: Tables, device_id: str, *, now: datetime) -> None:
    """The device runs something that was taken back: what is offered meanwhile has to wait."""
    for other in tables.deployments.of_device(device_id):
        if other.is_open:
            withdrawn = apply(other.deployment, _E.WITHDRAW, now=now)
            tables.deployments.put(replace(other, deployment=withdrawn, ended_at=now))


def _learn(tables: Tables, device_id: str, after: DeploymentRecord) -> None:
    """A commit says what runs from now on; after a foreign success attributes may be others."""
    device, deployment = tables.devices.get(device_id), after.deployment
    if device is None:
        return
    if deployment.state is DeploymentState.REPORTED:
        tables.devices.put(replace(device, attributes_wanted=True))
    if deployment.state in {DeploymentState.COMMITTED, DeploymentState.UNEXERCISED}:
        running = {**device.running, deployment.model: after.digest}
        tables.devices.put(replace(device, running=running))


def _failure(record: DeploymentRecord, *, now: datetime) -> EventRecord:
    failed = record.deployment
    why = ": ".join(part for part in (failed.reason, record.detail) if part) or "no reason given"
    return EventRecord(
        at=now,
        kind=EventKind.DEPLOYMENT_FAILED.value,
        text=f"{failed.model} {failed.version} {failed.state.value} on {failed.device_id} ({why}).",
        device=failed.device_id,
        model=failed.model,
        version=failed.version,
        body={"action": failed.id, "rollout": failed.rollout_id, "reason": failed.reason},
    )


def _log(record: DeploymentRecord) -> None:
    deployment = record.deployment
    fields = {
        "action": deployment.id,
        "device": deployment.device_id,
        "state": deployment.state.value,
        "reason": deployment.reason,
    }
    logger.info("deployment reported", extra={"fields": fields})
