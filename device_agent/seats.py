"""The processes of one model, and what they look like from outside. Starts and ends nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from device_agent.listeners import Listeners
from device_agent.worker.messages import Mode, Note, NoteKind, Stats
from device_agent.workers import Phase, WorkerProcess
from edgekit.protocol import Reason


@dataclass(slots=True)
class Seat:
    """The processes of one model.

    Attributes:
        folder: Of the model's slots.
        listeners: Its sockets.
        front: Answers.
        candidate: Being tested, or tested and waiting.
        reserve: Answered before the front, still loaded.
        leaving: On their way out.
        restarts: Monotonic times of recent restarts.
        crashes: Ends by itself since the last switch.
        hangs: Ends for silence or a hang since the last switch.
        exhausted_s: Since when the front would not stay up; None while it does.
        mode: What the front writes into its windows.
        beside: Digest and process of the front that hands inputs on to the candidate.
    """

    folder: Path
    listeners: Listeners
    front: WorkerProcess | None = None
    candidate: WorkerProcess | None = None
    reserve: WorkerProcess | None = None
    leaving: list[tuple[WorkerProcess, float]] = field(default_factory=list)
    restarts: deque[float] = field(default_factory=deque)
    crashes: int = 0
    hangs: int = 0
    exhausted_s: float | None = None
    mode: Mode = Mode.STEADY
    beside: tuple[str, int] | None = None

    def workers(self) -> list[WorkerProcess]:
        """Return every process that has not ended."""
        known = [self.front, self.candidate, self.reserve, *(w for w, _ in self.leaving)]
        return [w for w in known if w is not None and w.phase is not Phase.ENDED]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontView:
    """What answers for a model.

    Attributes:
        digest: SHA-256 of its bundle.
        version: Version of the release; empty until it is ready.
        variant: Name of the variant; empty until it is ready.
        serving: Whether it answers at this moment.
        mode: "steady" or "probation".
        pid: Its process.
        address: HTTP address.
        unix: Path of the Unix socket.
        stats: Counters since it started.
        crashes: Ends by itself since the last switch.
        hangs: Ends for silence or a hang since the last switch.
    """

    digest: str
    version: str
    variant: str
    serving: bool
    mode: Mode
    pid: int
    address: str
    unix: str
    stats: Stats
    crashes: int
    hangs: int


def view_of(seat: Seat, front: WorkerProcess) -> FrontView:
    """Return what answers at a seat."""
    return FrontView(
        digest=front.spec.digest,
        version=front.ready.version if front.ready else "",
        variant=front.ready.variant if front.ready else "",
        serving=front.phase is Phase.SERVING,
        mode=seat.mode,
        pid=front.process.pid,
        address=seat.listeners.address,
        unix=str(seat.listeners.path),
        stats=front.stats,
        crashes=seat.crashes,
        hangs=seat.hangs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateView:
    """A candidate that answers nobody.

    Attributes:
        ended: Whether its process has.
        hung: Whether it was ended for silence or a hang.
        stats: Counters since it started.
        beside: Digest and process of the front that hands inputs on to it; None without one.
    """

    ended: bool
    hung: bool
    stats: Stats
    beside: tuple[str, int] | None


def unexplained(candidate: WorkerProcess) -> Note:
    """Return a FAILED for a candidate that ended, or stayed silent, without one."""
    if candidate.phase is Phase.ENDED and not candidate.hung:
        message = f"its process ended with code {candidate.process.returncode}"
        return Note(kind=NoteKind.FAILED, reason=Reason.CRASH, message=message)
    return Note(kind=NoteKind.FAILED, reason=Reason.LOAD, message="it was not ready in time")
