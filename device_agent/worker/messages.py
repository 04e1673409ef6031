"""What the agent and a worker say to each other over a socket pair: one JSON line each.

Used by both sides; imports neither NumPy nor a runtime.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from device_agent.config import Source
from edgekit import codec
from edgekit.protocol import Reason
from edgekit.shadow import ShadowOrder, ShadowResult

T = TypeVar("T")
MAX_DESCRIPTORS = 8
EXIT_HANG = 75
"""Exit code of a worker that ended itself because an inference did not."""
EXIT_MEMORY = 76
"""Exit code of a worker that ended itself because it had grown too large."""


class CommandKind(StrEnum):
    """What the agent wants."""

    SERVE = "serve"
    SETTLE = "settle"
    PAUSE = "pause"
    EXERCISE = "exercise"
    HAND_ON = "hand_on"
    """Give inputs to a candidate over the descriptor that comes with the command."""
    STAND_BY = "stand_by"
    """Try what comes over the descriptor that comes with the command; answer nobody."""
    PARAMETERS = "parameters"
    """Read the file of parameters again."""
    DRAIN = "drain"


class NoteKind(StrEnum):
    """What a worker tells."""

    READY = "ready"
    FAILED = "failed"
    STATS = "stats"


class Mode(StrEnum):
    """State that a worker writes into its windows."""

    STEADY = "steady"
    PROBATION = "probation"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """All that a worker needs to know; the first line that it reads.

    Attributes:
        model: Name of the model.
        digest: SHA-256 of its bundle.
        bundle: Path of the bundle.
        files: Folder with the bundle's files.
        parameters: Path of what is set on this device, which need not be there.
        listeners: Descriptors of the listening sockets, inherited.
        spool: Path of the spool.
        spool_bytes: Most that the spool may hold.
        boot_id: Boot of the device.
        window_s: Length of a window.
        inference_timeout_s: An inference that takes longer is a hang.
        deadline_ms: An answer that takes longer is late; 0 for no deadline.
        drain_s: Longest wait for open connections when it is told to go.
        threads: Threads of the runtime.
        cores: Cores that the process may use; empty for all.
        memory_mb: Most that the process may hold, MiB; 0 is no limit.
        self_test: Recompute every golden sample before saying READY; else only run one.
        source: Samples that nobody sends.
        answers_share: Share of the requests with an id whose id and class are recorded.
        log_level: Lowest level that is logged.
        log_json: One JSON object a line.
    """

    model: str
    digest: str
    bundle: str
    files: str
    listeners: tuple[int, ...]
    spool: str
    spool_bytes: int
    boot_id: str
    window_s: float
    inference_timeout_s: float
    deadline_ms: float
    drain_s: float
    threads: int
    self_test: bool
    parameters: str = ""
    cores: tuple[int, ...] = ()
    memory_mb: float = 0.0
    source: Source | None = None
    answers_share: float = 0.0
    log_level: str = "INFO"
    log_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One order of the agent."""

    kind: CommandKind
    mode: Mode = Mode.STEADY
    shadow: ShadowOrder | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a worker did since it started to serve.

    Attributes:
        inferences: Answers given.
        errors: Inferences without an answer, by stage.
        nan_outputs: Answers that held a NaN.
        late: Answers after the deadline.
        exercised: Golden samples that reproduced.
        exercise_failed: Whether one did not.
        rss_mb: Resident memory.
        shadow: What a candidate found that stands by.
        parameters_version: The parameters that were read last; 0 when nothing was ever set.
        parameters_refused: Why defaults hold instead; empty when they do not.
    """

    inferences: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    nan_outputs: int = 0
    late: int = 0
    exercised: int = 0
    exercise_failed: bool = False
    rss_mb: float = 0.0
    shadow: ShadowResult | None = None
    parameters_version: int = 0
    parameters_refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One line of a worker.

    Attributes:
        kind: What it is about.
        reason: With FAILED: why.
        message: With FAILED: the same as a sentence.
        difference: With READY: largest difference of a golden sample.
        version: With READY: version of the release.
        variant: With READY: name of the variant.
        stats: With STATS.
    """

    kind: NoteKind
    reason: Reason = Reason.NONE
    message: str = ""
    difference: float = 0.0
    version: str = ""
    variant: str = ""
    stats: Stats | None = None


class Line:
    """One end of the socket pair: whole lines in, whole lines out, descriptors beside them.

    Attributes:
        end: The socket.
        handed: Descriptors that came with messages, in their order; who takes one owns it.
    """

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.handed: list[int] = []
        self._buffer = b""

    def send(self, message: object, *, descriptor: int | None = None) -> bool:
        """Send one message, perhaps with an open descriptor; False when nobody listens."""
        data = codec.encode(message) + b"\n"
        try:
            if descriptor is not None:
                data = data[socket.send_fds(self.end, [data], [descriptor]) :]
            self.end.sendall(data)
        except OSError:
            return False
        return True

    def receive(self, kind: type[T]) -> list[T] | None:
        """Read what has come, waiting for some; None when the other side has ended."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.end, 1 << 16, MAX_DESCRIPTORS)
        except OSError:
            return None
        self.handed += descriptors
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [codec.decode(line, kind, where="control") for line in lines]
