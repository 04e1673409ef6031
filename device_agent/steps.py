"""One function a state: does the work, returns what came of it and the record to go on with.

Every step may run twice, because the journal says what was begun and not what was finished.
A step that knows how a deployment ended writes it into the record; nothing else decides that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from device_agent.boot import clock_synchronised
from device_agent.contacting import CancelledError, contact, heartbeat
from device_agent.context import Context
from device_agent.deltas import fetch_bundle
from device_agent.journal import Deployment, Ending, Record
from device_agent.maintenance import may_begin
from device_agent.shadowing import stand_by
from device_agent.states import Event, State
from device_agent.supervisor import RESTARTS_IN_S
from device_agent.transport import GoneError, StatusError
from device_agent.trial import probation
from device_agent.worker.messages import Mode, NoteKind
from edgekit.bundle import TooNewBundleError, open_bundle
from edgekit.device import mismatch
from edgekit.errors import (
    BundleError,
    EdgeKitError,
    FormatError,
    NetworkError,
    RefusedError,
    StorageError,
    TrustError,
)
from edgekit.protocol import DeploymentKind, Outcome, Reason
from edgekit.shadow import ShadowOrder
from edgekit.trust.process import Request
from edgekit.trust.reasons import Reason as TrustReason
from edgekit.trust.reasons import UntrustedError

logger = logging.getLogger(__name__)
Step = Callable[[Context, Record], tuple[Event, Record]]

# Nobody's bundle is at fault: the server or the clock may be right again in a minute.
_LATER = frozenset({TrustReason.EXPIRED, TrustReason.CLOCK_SUSPECT, TrustReason.UNAVAILABLE})
_ABOUT_THE_MESSAGE = frozenset({400, 405, 409, 413, 415, 422})
_COULD_NOT = frozenset({Reason.DOWNLOAD, Reason.NO_ROOM, Reason.INTERRUPTED})


def idle(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Wait until the next poll is due, or a model will not stay up."""
    while (left := ctx.contact.next_poll_s - ctx.clock()) > 0:
        fall_back_exhausted(ctx)
        ctx.wait(min(1.0, left))
    return Event.WAKE, record


def poll(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Ask the server; bring it what it wants to know."""
    ctx.contact.next_poll_s = ctx.clock() + ctx.poll_interval_s()
    try:
        answer = contact(ctx)
        if answer.cancel or answer.deployment:
            ctx.stop_measuring()
        elif answer.benchmark:
            ctx.measure(answer.benchmark)
        if answer.cancel:
            ctx.ddi.agree_to_cancel(answer.cancel)
            return Event.NOTHING, record
        if not answer.deployment:
            _forget_downloads(ctx)
            return Event.NOTHING, record
        deployment = ctx.ddi.deployment(answer.deployment)
        _forget_downloads(ctx, keep=deployment.digest)
    except (NetworkError, RefusedError, FormatError) as error:
        return _later(ctx, record, error)
    fresh = replace(record, deployment=deployment, ending=None, visits=0)
    if deployment.kind is DeploymentKind.UPDATE:
        if ctx.slots.of(deployment.model).pointers().unsteady == deployment.digest:
            return _unsteady(fresh)
        if not may_begin(ctx.now(), ctx.config.maintenance):
            logger.info("waiting for a maintenance window")
            return Event.NOTHING, record
    return (Event.HELD if _held(ctx, deployment) else Event.OFFERED), fresh


def authorize(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Ask the trust metadata whether people signed this bundle, and how long it is."""
    wanted = record.current()
    try:
        ctx.ddi.proceeding(wanted, State.DOWNLOADING, f"checking {wanted.target}")
        info = ctx.trust(_trust_request(ctx, wanted))
    except GoneError:
        return Event.WITHDRAWN, _dropped(record)
    except TrustError as error:
        return _refused(ctx, record, error)
    except (NetworkError, RefusedError) as error:
        return _later(ctx, record, error)
    if info.sha256 != wanted.digest:
        message = f"offered is {wanted.digest[:12]}..., signed is {info.sha256[:12]}..."
        return _failed(record, Reason.DIGEST, message)
    return Event.OK, replace(record, deployment=replace(wanted, size=info.length))


def fetch(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Get the bytes, not one more than were signed."""
    wanted = record.current()
    part = ctx.part(wanted.digest)
    try:
        ctx.layout.downloads.mkdir(parents=True, exist_ok=True)
        if not ctx.slots.of(wanted.model).holds(wanted.digest):
            fetch_bundle(ctx, wanted, part)
    except StorageError as error:
        part.unlink(missing_ok=True)
        return _failed(record, Reason.NO_ROOM, str(error))
    except (TrustError, BundleError) as error:
        return _failed(record, Reason.DIGEST, str(error))
    except (GoneError, CancelledError):
        return Event.WITHDRAWN, _dropped(record)
    except (NetworkError, RefusedError) as error:
        return _later(ctx, record, error)
    return Event.OK, record


def verify(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Open the bundle and check that it is the one that was asked for, and fits."""
    wanted = record.current()
    slots = ctx.slots.of(wanted.model)
    held = slots.holds(wanted.digest)
    try:
        bundle = open_bundle(slots.bundle_path(wanted.digest) if held else ctx.part(wanted.digest))
    except TooNewBundleError as error:
        return _failed(record, Reason.UNSUPPORTED, error.what)
    except (BundleError, StorageError) as error:
        return _failed(record, Reason.BUNDLE, str(error))
    if bundle.sha256 != wanted.digest:
        return _failed(record, Reason.DIGEST, f"has sha256 {bundle.sha256[:12]}...")
    manifest = bundle.manifest
    inside = (manifest.model, manifest.version, manifest.variant)
    if inside != (wanted.model, wanted.version, wanted.variant):
        return _failed(record, Reason.WRONG_MODEL, f"the bundle holds {' '.join(inside)}")
    why = mismatch(manifest.requires, ctx.profile)
    if why:
        return _failed(record, Reason.UNSUPPORTED, why)
    return Event.OK, record


def stage(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Take the verified bundle into the store; nothing runs it yet."""
    wanted = record.current()
    try:
        ctx.slots.of(wanted.model).stage(ctx.part(wanted.digest), wanted.digest)
    except BundleError as error:
        return _failed(record, Reason.BUNDLE, str(error))
    except StorageError as error:
        return _failed(record, Reason.NO_ROOM, str(error))
    return Event.OK, record


def self_test(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Load it in a process of its own and recompute every golden sample on this device."""
    wanted = record.current()
    note = ctx.supervisor.prepare(wanted.model, wanted.digest)
    if note.kind is not NoteKind.READY:
        return _failed(record, note.reason, note.message)
    fields = {"version": wanted.version, "difference": note.difference}
    logger.info("self-test passed", extra={"fields": fields})
    return (Event.ASIDE if wanted.shadow else Event.OK), record


def shadow(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Try the candidate on live inputs beside the model that answers; nothing is activated."""
    wanted = record.current()
    try:
        end = stand_by(ctx, wanted, wanted.shadow or ShadowOrder())
    except CancelledError:
        ctx.supervisor.discard(wanted.model)
        ctx.slots.of(wanted.model).collect()
        return Event.WITHDRAWN, _dropped(record)
    if end.outcome is not Outcome.SHADOWED:
        return _failed(record, end.reason, end.message)
    return Event.OK, replace(record, ending=replace(_good(wanted, end.outcome), shadow=end.found))


def activate(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Let the candidate answer; the old worker stays loaded in reserve."""
    wanted = record.current()
    try:
        ctx.slots.of(wanted.model).begin_trial(wanted.digest)
    except (StorageError, FormatError) as error:
        return _failed(record, Reason.NO_ROOM, str(error))
    returns = wanted.kind is DeploymentKind.ROLLBACK
    if not ctx.supervisor.switch(wanted.model, Mode.STEADY if returns else Mode.PROBATION):
        return _failed(record, Reason.CRASH, "the candidate ended before it was activated")
    if returns:
        return Event.RETURNED, replace(record, ending=_good(wanted, Outcome.COMMITTED))
    return Event.OK, record


def try_out(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Watch the candidate answer until it broke a budget or its time is over."""
    wanted = record.current()
    result = probation(ctx, wanted, heartbeat=lambda: heartbeat(ctx, wanted))
    if result.outcome in {Outcome.COMMITTED, Outcome.UNEXERCISED}:
        return Event.OK, replace(record, ending=_good(wanted, result.outcome))
    return _failed(record, result.reason, result.message)


def commit(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Keep the candidate: active slot, steady windows, old worker drained."""
    wanted = record.current()
    try:
        ctx.slots.of(wanted.model).commit(wanted.digest)
    except (StorageError, FormatError) as error:
        return _failed(record, Reason.NO_ROOM, str(error))
    ctx.supervisor.serve(wanted.model, wanted.digest)
    ctx.supervisor.settle(wanted.model)
    ending = record.ending or _good(wanted, Outcome.COMMITTED)
    return Event.OK, replace(record, ending=ending)


def roll_back(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Let the committed bundle answer again; no network."""
    wanted = record.current()
    slots = ctx.slots.of(wanted.model)
    before = record.ending
    if before is None:
        before = _ending(wanted, Reason.INTERRUPTED, "the agent ended during the trial")
    try:
        active = slots.pointers().active
        ctx.supervisor.go_back(wanted.model, active)
        slots.end_trial()
    except (StorageError, FormatError) as error:
        return _later(ctx, record, error)
    if active and not ctx.supervisor.wait_serving(wanted.model, timeout_s=10.0):
        logger.error("the previous bundle does not answer yet")
    ending = replace(before, outcome=Outcome.REVERTED, digest=active)
    return Event.OK, replace(record, ending=ending)


def report(ctx: Context, record: Record) -> tuple[Event, Record]:
    """Tell the server how it ended, until it has heard; then clean up."""
    wanted = record.current()
    slots = ctx.slots.of(wanted.model)
    ending = record.ending or _ending(wanted, Reason.INTERRUPTED, "the agent was interrupted")
    ending = replace(ending, digest=ctx.supervisor.running().get(wanted.model, ""))
    ctx.supervisor.discard(wanted.model)
    try:
        ctx.ddi.closed(wanted, ending)
        ctx.reached()
    except GoneError:
        logger.info("outcome was known", extra={"fields": {"action": wanted.action}})
    except (NetworkError, RefusedError) as error:
        if not _never_taken(error):
            return _later(ctx, record, error)
        logger.error("outcome refused", extra={"fields": {"error": str(error)}})  # noqa: TRY400 (expected, one line)
    ctx.part(wanted.digest).unlink(missing_ok=True)
    slots.forgive(wanted.digest)
    slots.collect(wanted.digest if ending.outcome is Outcome.SHADOWED else "")
    ctx.contact.next_poll_s = ctx.clock() + min(1.0, ctx.poll_interval_s())
    fields = {"action": ending.action, "outcome": ending.outcome, "reason": ending.reason}
    logger.info("deployment ended", extra={"fields": fields})
    return Event.OK, replace(_dropped(record), last=ending)


def fall_back_exhausted(ctx: Context) -> None:
    """Return to the previous bundle of a model whose active one would not stay up.

    Without a previous one the active one is tried again after a while.
    """
    for model, since_s in ctx.supervisor.exhausted().items():
        slots = ctx.slots.of(model)
        digest = slots.fall_back()
        if not digest and ctx.clock() - since_s < RESTARTS_IN_S:
            continue
        logger.error("falling back", extra={"fields": {"model": model, "digest": digest}})
        ctx.supervisor.serve(model, digest or slots.pointers().active)


def _unsteady(record: Record) -> tuple[Event, Record]:
    """Tell of a fall-back that happened after the commit: the server offers it once more."""
    message = "was committed and then would not stay up: the device went back by itself"
    ending = _ending(record.current(), Reason.CRASH, message)
    return Event.FAILED, replace(record, ending=replace(ending, outcome=Outcome.REVERTED))


def _never_taken(error: EdgeKitError) -> bool:
    """Say whether the server will refuse this outcome for ever: it is the message, not the device.

    What runs is told with every poll, so that the truth is not lost with it.
    """
    return isinstance(error, StatusError) and error.status in _ABOUT_THE_MESSAGE


def _forget_downloads(ctx: Context, keep: str = "") -> None:
    """Remove what came of bundles that nobody wants any more."""
    for part in ctx.layout.downloads.glob("*.part"):
        if part != ctx.part(keep):
            part.unlink(missing_ok=True)


def _held(ctx: Context, wanted: Deployment) -> bool:
    """Say whether this is a way back to a bundle that this device verified and kept."""
    if wanted.kind is not DeploymentKind.ROLLBACK:
        return False
    slots = ctx.slots.of(wanted.model)
    return wanted.digest in slots.pointers().held() and slots.holds(wanted.digest)


def _trust_request(ctx: Context, wanted: Deployment) -> Request:
    return Request(
        folder=str(ctx.layout.trust),
        metadata_url=ctx.ddi.transport.reachable(ctx.contact.trust_url),
        path=wanted.target,
        model=wanted.model,
        version=wanted.version,
        variant=wanted.variant,
        clock_synchronised=clock_synchronised(),
    )


def _later(ctx: Context, record: Record, error: EdgeKitError) -> tuple[Event, Record]:
    wait_s = ctx.missed(error)
    fields = {"state": record.state, "error": str(error), "wait_s": round(wait_s, 1)}
    logger.warning("trying again later", extra={"fields": fields})
    if record.state in {State.REPORTING, State.ROLLING_BACK}:
        fall_back_exhausted(ctx)
        ctx.wait(wait_s)
        return Event.LATER, record
    ctx.contact.next_poll_s = ctx.clock() + wait_s
    return Event.LATER, _dropped(record)


def _refused(ctx: Context, record: Record, error: TrustError) -> tuple[Event, Record]:
    why = error.reason if isinstance(error, UntrustedError) else None
    if why in _LATER:
        return _later(ctx, record, error)
    wrong = why is TrustReason.WRONG_MODEL
    return _failed(record, Reason.WRONG_MODEL if wrong else Reason.UNTRUSTED, str(error))


def _dropped(record: Record) -> Record:
    return replace(record, deployment=None, ending=None, visits=0)


def _failed(record: Record, reason: Reason, message: str) -> tuple[Event, Record]:
    return Event.FAILED, replace(record, ending=_ending(record.current(), reason, message))


def _ending(wanted: Deployment, reason: Reason, message: str) -> Ending:
    outcome = Outcome.FAILED if reason in _COULD_NOT else Outcome.REJECTED
    fields = {"version": wanted.version, "reason": reason, "message": message}
    logger.warning("deployment failed", extra={"fields": fields})
    return Ending(
        action=wanted.action,
        version=wanted.version,
        outcome=outcome,
        reason=reason,
        message=message,
    )


def _good(wanted: Deployment, outcome: Outcome) -> Ending:
    return Ending(
        action=wanted.action, version=wanted.version, outcome=outcome, digest=wanted.digest
    )


STEPS: dict[State, Step] = {
    State.IDLE: idle,
    State.POLLING: poll,
    State.AUTHORIZING: authorize,
    State.DOWNLOADING: fetch,
    State.VERIFYING: verify,
    State.STAGING: stage,
    State.SELF_TEST: self_test,
    State.SHADOW: shadow,
    State.ACTIVATING: activate,
    State.PROBATION: try_out,
    State.COMMITTING: commit,
    State.ROLLING_BACK: roll_back,
    State.REPORTING: report,
}
