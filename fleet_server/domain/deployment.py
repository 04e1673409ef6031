"""One device within one rollout: its states, and the table of what may follow what.

A device reports through a network that loses things, so a later state may arrive without the ones
between; a report that arrives twice changes nothing. Success is COMMITTED only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from fleet_server.domain.errors import IllegalTransitionError


class DeploymentState(StrEnum):
    """Where a deployment stands. Stored values are never renamed."""

    OFFERED = "offered"
    DOWNLOADING = "downloading"
    ACTIVATED = "activated"
    """On probation: it answers, the previous model stays ready."""
    COMMITTED = "committed"
    UNEXERCISED = "unexercised"
    """Committed without traffic: no evidence."""
    REPORTED = "reported"
    """A foreign client says success; nobody can confirm it, it feeds no relative gate."""
    REJECTED = "rejected"
    """Refused before anything switched: it does not fit, is not trusted, or proves wrong."""
    REVERTED = "reverted"
    """Failed in probation; the device is back on what it ran."""
    FAILED = "failed"
    """Could not be carried out: no room, no download."""
    SHADOWED = "shadowed"
    """Tried on live inputs, answering nobody; the device runs what it ran."""
    WITHDRAWN = "withdrawn"
    """The server took the offer back. A device that was already at it may still report."""


class DeploymentEvent(StrEnum):
    """What a device reports, or (WITHDRAW) what the server does."""

    DOWNLOAD = "download"
    ACTIVATE = "activate"
    COMMIT = "commit"
    COMMIT_UNEXERCISED = "commit_unexercised"
    REPORT_SUCCESS = "report_success"
    REJECT = "reject"
    REVERT = "revert"
    FAIL = "fail"
    SHADOW = "shadow"
    WITHDRAW = "withdraw"


class DeploymentKind(StrEnum):
    """Why a device was offered something."""

    ROLLOUT = "rollout"
    ROLLBACK = "rollback"
    """Going back: never judged, never the start of another rollback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A release that was offered to a device.

    Attributes:
        id: Numeric, also the action id of the device protocol.
        device_id: The device.
        rollout_id: The rollout that it belongs to; of a rollback, the one that failed.
        model: Name of the model.
        version: The release offered.
        variant: The variant that fits the device.
        kind: Rollout or rollback.
        state: Where it stands.
        offered_at: UTC.
        changed_at: UTC, of the last change of `state`.
        reason: The device's words for a state that is no success.
    """

    id: int
    device_id: str
    rollout_id: str
    model: str
    version: str
    variant: str
    kind: DeploymentKind = DeploymentKind.ROLLOUT
    state: DeploymentState = DeploymentState.OFFERED
    offered_at: datetime
    changed_at: datetime
    reason: str = ""


_S = DeploymentState
_E = DeploymentEvent

_ENDS: dict[DeploymentEvent, DeploymentState] = {
    _E.COMMIT: _S.COMMITTED,
    _E.COMMIT_UNEXERCISED: _S.UNEXERCISED,
    _E.REPORT_SUCCESS: _S.REPORTED,
    _E.REJECT: _S.REJECTED,
    _E.REVERT: _S.REVERTED,
    _E.FAIL: _S.FAILED,
    _E.SHADOW: _S.SHADOWED,
}

# fmt: off
TRANSITIONS: dict[tuple[DeploymentState, DeploymentEvent], DeploymentState] = {
    (_S.OFFERED,     _E.DOWNLOAD):  _S.DOWNLOADING,
    (_S.OFFERED,     _E.ACTIVATE):  _S.ACTIVATED,
    (_S.OFFERED,     _E.WITHDRAW):  _S.WITHDRAWN,
    (_S.DOWNLOADING, _E.DOWNLOAD):  _S.DOWNLOADING,
    (_S.DOWNLOADING, _E.ACTIVATE):  _S.ACTIVATED,
    (_S.DOWNLOADING, _E.WITHDRAW):  _S.WITHDRAWN,
    (_S.ACTIVATED,   _E.DOWNLOAD):  _S.ACTIVATED,    # a report that was overtaken
    (_S.ACTIVATED,   _E.ACTIVATE):  _S.ACTIVATED,
    (_S.WITHDRAWN,   _E.WITHDRAW):  _S.WITHDRAWN,
    (_S.WITHDRAWN,   _E.DOWNLOAD):  _S.WITHDRAWN,    # it has not heard of it yet
    (_S.WITHDRAWN,   _E.ACTIVATE):  _S.ACTIVATED,    # it was faster: the device knows what it runs
    **{(state, event): end
       for state in (_S.OFFERED, _S.DOWNLOADING, _S.ACTIVATED, _S.WITHDRAWN)
       for event, end in _ENDS.items()},
    **{(end, event): end for event, end in _ENDS.items()},  # the same report again
}
# fmt: on
del TRANSITIONS[_S.ACTIVATED, _E.REJECT]  # rejecting is refusing before anything switched
del TRANSITIONS[_S.ACTIVATED, _E.SHADOW]  # what answers is no shadow

FAILED_STATES = frozenset({_S.REJECTED, _S.REVERTED, _S.FAILED})
"""What counts as a failed device, and is not offered to it again."""

ENDED_STATES = frozenset({*_ENDS.values(), _S.WITHDRAWN})
"""No longer an offer: the device is shown nothing of it."""


def advance(state: DeploymentState, event: DeploymentEvent, *, where: str) -> DeploymentState:
    """Return the state after `event`.

    Raises:
        IllegalTransitionError: The table has no such pair.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransitionError(state, event, where=where) from None


def apply(
    deployment: Deployment, event: DeploymentEvent, *, now: datetime, reason: str = ""
) -> Deployment:
    """Return the deployment after `event`; unchanged (the same object) if nothing is new.

    Raises:
        IllegalTransitionError: The table has no such pair.
    """
    where = f"deployment {deployment.id} of {deployment.device_id}"
    state = advance(deployment.state, event, where=where)
    if state is deployment.state:
        return deployment
    return replace(deployment, state=state, changed_at=now, reason=reason)
