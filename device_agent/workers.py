"""One worker process as the agent sees it: start, command, listen, end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from enum import StrEnum

from device_agent.worker.messages import (
    EXIT_HANG,
    Command,
    CommandKind,
    Line,
    Mode,
    Note,
    NoteKind,
    Stats,
    WorkerSpec,
)
from edgekit.errors import FormatError
from edgekit.shadow import ShadowOrder


class Phase(StrEnum):
    """Where a worker is."""

    STARTING = "starting"
    READY = "ready"
    """Loaded and tested; answers nobody."""
    SERVING = "serving"
    LEAVING = "leaving"
    ENDED = "ended"


@dataclass(slots=True)
class WorkerProcess:
    """A process with the last that it said. Only the supervisor touches it, under its lock.

    Attributes:
        spec: What it was started with.
        process: The process.
        line: Our end of the socket pair.
        phase: Where it is.
        ready: The note that said READY.
        failure: The note that said FAILED.
        stats: The last counters.
        heard_s: Monotonic time of its last line.
        serve_when_ready: Mode to serve in as soon as it is ready; None waits for `serve`.
        hung: It was ended because it no longer spoke.
    """

    spec: WorkerSpec
    process: subprocess.Popen[bytes]
    line: Line
    heard_s: float
    phase: Phase = Phase.STARTING
    ready: Note | None = None
    failure: Note | None = None
    stats: Stats = field(default_factory=Stats)
    serve_when_ready: Mode | None = None
    hung: bool = False

    @property
    def alive(self) -> bool:
        """Whether it may still answer somebody."""
        return self.phase in {Phase.STARTING, Phase.READY, Phase.SERVING}

    def command(self, kind: CommandKind, mode: Mode = Mode.STEADY) -> None:
        """Send a command; one that cannot be delivered shows as the end of the process."""
        self.line.send(Command(kind=kind, mode=mode))

    def shadow(self, kind: CommandKind, order: ShadowOrder | None, end: int | None = None) -> None:
        """Send a command about shadow, with its end of the pair of sockets."""
        self.line.send(Command(kind=kind, shadow=order), descriptor=end)

    def serve(self, mode: Mode) -> None:
        """Let it answer, at once or as soon as it is ready."""
        if self.phase is Phase.STARTING:
            self.serve_when_ready = mode
            return
        self.phase = Phase.SERVING
        self.command(CommandKind.SERVE, mode)

    def pause(self) -> None:
        """Let it finish what it has and wait, loaded."""
        self.phase = Phase.READY
        self.command(CommandKind.PAUSE)

    def leave(self) -> None:
        """Let it finish what it has and end."""
        if self.alive:
            self.phase = Phase.LEAVING
            self.command(CommandKind.DRAIN)

    def listen(self, now_s: float) -> bool:
        """Take in what it said; False when it has ended or speaks nonsense."""
        try:
            notes = self.line.receive(Note)
        except FormatError:
            notes = None
        if notes is None:
            return False
        self.heard_s = now_s
        for note in notes:
            self._note(note)
        return True

    def _note(self, note: Note) -> None:
        match note.kind:
            case NoteKind.STATS:
                self.stats = note.stats or self.stats
            case NoteKind.FAILED:
                self.failure = note
            case NoteKind.READY:
                self.ready = note
                if self.phase is Phase.STARTING:
                    self.phase = Phase.READY
                if self.phase is Phase.READY and self.serve_when_ready is not None:
                    self.serve(self.serve_when_ready)

    def kill(self) -> None:
        """End it now; an open window is lost."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)

    def bury(self) -> None:
        """Wait for the end and close our end of the socket pair."""
        try:
            code = self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self.process.wait()
        self.hung = self.hung or code == EXIT_HANG
        self.phase = Phase.ENDED
        self.line.end.close()


def connect(front: WorkerProcess, candidate: WorkerProcess, order: ShadowOrder) -> None:
    """Join two workers by a pair of sockets: inputs of the front go to the candidate too."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        candidate.shadow(CommandKind.STAND_BY, order, theirs.fileno())
        front.shadow(CommandKind.HAND_ON, order, ours.fileno())


def spawn(spec: WorkerSpec, *, now_s: float) -> WorkerProcess:
    """Start a worker in a session of its own; it ends when our end of the pair closes."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "device_agent.worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), *spec.listeners),
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    ours.settimeout(5.0)
    line = Line(ours)
    line.send(spec)
    return WorkerProcess(spec=spec, process=process, line=line, heard_s=now_s)
