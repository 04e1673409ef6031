"""The update as a pure table: (State, Event) -> State, and where to go on after a restart.

A pair that is not in the table raises. No clock, no file, no socket.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What the agent is about to do. Stored in the journal: never renamed."""

    IDLE = "idle"
    POLLING = "polling"
    AUTHORIZING = "authorizing"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    STAGING = "staging"
    SELF_TEST = "self_test"
    SHADOW = "shadow"
    ACTIVATING = "activating"
    PROBATION = "probation"
    COMMITTING = "committing"
    ROLLING_BACK = "rolling_back"
    REPORTING = "reporting"


class Event(StrEnum):
    """What came of it."""

    WAKE = "wake"
    NOTHING = "nothing"
    OFFERED = "offered"
    HELD = "held"
    """The server asks for a bundle that this device has verified and still holds."""
    OK = "ok"
    RETURNED = "returned"
    """Activated a release that was committed here before: no second trial."""
    ASIDE = "aside"
    """The server wants it tried on live inputs first, answering nobody."""
    FAILED = "failed"
    LATER = "later"
    """Nobody is to blame yet: no network, no room for the journal. Try again."""
    WITHDRAWN = "withdrawn"
    """The server no longer wants it, and nothing has changed here."""
    STOPPED = "stopped"
    """A person ended the agent during a trial: it begins again after the next start."""


class UnknownTransitionError(Exception):
    """The table has no row for a pair: a bug in the agent."""


_S, _E = State, Event

# fmt: off
TRANSITIONS: dict[tuple[State, Event], State] = {
    (_S.IDLE,         _E.WAKE):      _S.POLLING,

    (_S.POLLING,      _E.NOTHING):   _S.IDLE,
    (_S.POLLING,      _E.LATER):     _S.IDLE,
    (_S.POLLING,      _E.OFFERED):   _S.AUTHORIZING,
    (_S.POLLING,      _E.HELD):      _S.STAGING,
    (_S.POLLING,      _E.FAILED):    _S.REPORTING,     # known not to stay up here: no second try

    (_S.AUTHORIZING,  _E.OK):        _S.DOWNLOADING,
    (_S.AUTHORIZING,  _E.FAILED):    _S.REPORTING,     # nothing changed yet: no rollback
    (_S.AUTHORIZING,  _E.LATER):     _S.IDLE,          # the server offers it again
    (_S.AUTHORIZING,  _E.WITHDRAWN): _S.IDLE,

    (_S.DOWNLOADING,  _E.OK):        _S.VERIFYING,
    (_S.DOWNLOADING,  _E.FAILED):    _S.REPORTING,
    (_S.DOWNLOADING,  _E.LATER):     _S.IDLE,          # what came so far is kept
    (_S.DOWNLOADING,  _E.WITHDRAWN): _S.IDLE,

    (_S.VERIFYING,    _E.OK):        _S.STAGING,
    (_S.VERIFYING,    _E.FAILED):    _S.REPORTING,

    (_S.STAGING,      _E.OK):        _S.SELF_TEST,
    (_S.STAGING,      _E.FAILED):    _S.REPORTING,

    (_S.SELF_TEST,    _E.OK):        _S.ACTIVATING,
    (_S.SELF_TEST,    _E.ASIDE):     _S.SHADOW,
    (_S.SELF_TEST,    _E.FAILED):    _S.REPORTING,

    (_S.SHADOW,       _E.OK):        _S.REPORTING,     # nothing changed: the server judges
    (_S.SHADOW,       _E.FAILED):    _S.REPORTING,
    (_S.SHADOW,       _E.WITHDRAWN): _S.IDLE,

    (_S.ACTIVATING,   _E.OK):        _S.PROBATION,
    (_S.ACTIVATING,   _E.RETURNED):  _S.COMMITTING,
    (_S.ACTIVATING,   _E.FAILED):    _S.ROLLING_BACK,

    (_S.PROBATION,    _E.OK):        _S.COMMITTING,
    (_S.PROBATION,    _E.FAILED):    _S.ROLLING_BACK,
    (_S.PROBATION,    _E.STOPPED):   _S.STAGING,

    (_S.COMMITTING,   _E.OK):        _S.REPORTING,
    (_S.COMMITTING,   _E.FAILED):    _S.ROLLING_BACK,  # the slot could not be written

    (_S.ROLLING_BACK, _E.OK):        _S.REPORTING,
    (_S.ROLLING_BACK, _E.LATER):     _S.ROLLING_BACK,

    (_S.REPORTING,    _E.OK):        _S.IDLE,
    (_S.REPORTING,    _E.LATER):     _S.REPORTING,
}

# After a restart of the agent within one boot: a crash during the trial is a failed trial.
RESUME: dict[State, State] = {
    _S.IDLE:         _S.IDLE,
    _S.POLLING:      _S.IDLE,
    _S.AUTHORIZING:  _S.AUTHORIZING,
    _S.DOWNLOADING:  _S.AUTHORIZING,
    _S.VERIFYING:    _S.AUTHORIZING,   # bytes may be gone: the download finds out what is there
    _S.STAGING:      _S.STAGING,
    _S.SELF_TEST:    _S.STAGING,       # the candidate's process ended with the agent
    _S.SHADOW:       _S.STAGING,       # the same, and it answered nobody: it begins again
    _S.ACTIVATING:   _S.ROLLING_BACK,
    _S.PROBATION:    _S.ROLLING_BACK,
    _S.COMMITTING:   _S.COMMITTING,    # idempotent
    _S.ROLLING_BACK: _S.ROLLING_BACK,  # idempotent
    _S.REPORTING:    _S.REPORTING,
}

# After a restart of the machine: a power cut is not the model's fault, the trial begins again.
RESUME_AFTER_BOOT: dict[State, State] = {
    **RESUME,
    _S.ACTIVATING:   _S.STAGING,
    _S.PROBATION:    _S.STAGING,
}
# fmt: on

AT_REST = frozenset({State.IDLE, State.POLLING})
"""States that are worth no write: after a restart there is nothing to go on with."""

SETTLED = AT_REST | {State.ROLLING_BACK, State.REPORTING}
"""States that no number of visits leads out of: they change nothing but back to what was."""

MAX_VISITS = 28
"""Visits of other states that one deployment may make, restarts included."""


def advance(state: State, event: Event) -> State:
    """Return the state that follows.

    Raises:
        UnknownTransitionError: The table has no such row.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise UnknownTransitionError(f"no way on from {state} with {event}") from None


def resume(state: State, *, same_boot: bool) -> State:
    """Return where an agent goes on that was last seen in `state`."""
    return (RESUME if same_boot else RESUME_AFTER_BOOT)[state]
