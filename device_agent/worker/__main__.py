"""`python -m device_agent.worker FD`: the inference process, started by the agent only.

FD is its end of a socket pair: a `WorkerSpec` comes first, then `Command`s; `Note`s go back. When
the other end closes, the agent is gone: the window is stored and the process ends.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

from device_agent.parameters import settled
from device_agent.spool import Spool
from device_agent.worker.engine import Engine, load_engine
from device_agent.worker.messages import (
    EXIT_HANG,
    EXIT_MEMORY,
    Command,
    CommandKind,
    Line,
    Note,
    NoteKind,
    WorkerSpec,
)
from device_agent.worker.recorder import Recorder
from device_agent.worker.server import InferenceServer
from device_agent.worker.shadow import Mirror, Tap
from device_agent.worker.sources import Replay
from edgekit import log, machine
from edgekit.errors import BundleError, EdgeKitError, ProofError, UsageError
from edgekit.protocol import Reason
from edgekit.shadow import ShadowOrder

logger = logging.getLogger(__name__)
TICK_S = 0.1
OPEN_ANSWERS_S = 1.0
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def rss_mb() -> float:
    """Return the resident memory of this process, MiB."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * _PAGE_MB


class Worker:
    """One model, its server, its source and its recorder, driven by the agent's commands."""

    def __init__(self, spec: WorkerSpec, engine: Engine, recorder: Recorder, line: Line) -> None:
        self._spec = spec
        self._engine = engine
        self._recorder = recorder
        self._line = line
        listeners = [socket.socket(fileno=fd) for fd in spec.listeners]
        self._server = InferenceServer(engine, listeners)
        self._replay: Replay | None = None
        self._exercise_failed = False
        self._mirror: Mirror | None = None
        self._tap: Tap | None = None

    def run(self) -> int:
        """Follow commands until told to go, alone or grown too large; returns the exit code."""
        while not self._outgrown():
            readable, _, _ = select.select([self._line.end], [], [], TICK_S)
            commands = self._line.receive(Command) if readable else []
            if commands is None:
                self._leave(wait_s=0.0)
                return 0
            for command in commands:
                if command.kind is CommandKind.DRAIN:
                    self._leave(wait_s=self._spec.drain_s)
                    return 0
                self._follow(command)
            self._tick()
        self._leave(wait_s=OPEN_ANSWERS_S)
        return EXIT_MEMORY

    def _outgrown(self) -> bool:
        """Say whether this process holds more than it may: a leak ends here, not in the system."""
        limit, now = self._spec.memory_mb, rss_mb()
        if not limit or now <= limit:
            return False
        fields = {"model": self._spec.model, "rss_mb": round(now), "allowed_mb": limit}
        logger.error("worker has grown too large", extra={"fields": fields})
        return True

    def _follow(self, command: Command) -> None:
        match command.kind:
            case CommandKind.SERVE:
                self._recorder.open(command.mode)
                self._server.serve()
                self._start_replay()
            case CommandKind.SETTLE:
                self._recorder.open(command.mode)
            case CommandKind.PAUSE:
                self._server.pause()
                self._stop_replay()
                self._recorder.close()
            case CommandKind.EXERCISE:
                self._exercise()
            case CommandKind.HAND_ON:
                self._hand_on(command.shadow)
            case CommandKind.STAND_BY:
                self._stand_by(command.shadow)
            case CommandKind.PARAMETERS:
                apply_parameters(self._engine, self._spec)
            case CommandKind.DRAIN:
                pass  # ends the loop before it comes here

    def _hand_on(self, order: ShadowOrder | None) -> None:
        """Give inputs to a candidate, or (None) stop that."""
        if self._tap is not None:
            self._tap.close()
        self._tap = self._engine.onlooker = None
        if order is not None:
            end = socket.socket(fileno=self._line.handed.pop(0))
            self._tap = self._engine.onlooker = Tap(
                end, order, self._engine.manifest.postprocessing
            )

    def _stand_by(self, order: ShadowOrder | None) -> None:
        end = socket.socket(fileno=self._line.handed.pop(0))
        if self._mirror is None:
            self._mirror = Mirror(self._engine, order or ShadowOrder())
        self._mirror.listen(end)

    def _exercise(self) -> None:
        try:
            self._engine.exercise()
        except EdgeKitError as error:
            self._exercise_failed = True
            logger.warning("golden samples failed", extra={"fields": {"error": str(error)}})

    def _start_replay(self) -> None:
        source = self._spec.source
        if source is None or self._replay is not None:
            return
        preprocessing = self._engine.manifest.preprocessing
        self._replay = Replay(
            source,
            self._engine.answer_raw,
            channels=preprocessing.channels if preprocessing else 3,
            failed=lambda: self._recorder.failed("pre"),
        )
        self._replay.start()

    def _stop_replay(self) -> None:
        if self._replay is not None:
            self._replay.stop(wait_s=self._spec.inference_timeout_s)
            self._replay = None

    def _tick(self) -> None:
        since = self._engine.busy_since_s
        if since is not None and time.monotonic() - since > self._spec.inference_timeout_s:
            self._give_up()
        self._recorder.tick()
        stats = replace(
            self._recorder.stats(),
            exercise_failed=self._exercise_failed,
            parameters_version=self._engine.settings.version,
            parameters_refused=self._engine.settings.refused,
            shadow=self._mirror.result if self._mirror is not None else None,
        )
        self._line.send(Note(kind=NoteKind.STATS, stats=stats))
        arm_last_resort(self._spec.inference_timeout_s)

    def _give_up(self) -> None:
        """End a process whose inference does not: nothing in it can stop native code."""
        logger.error("inference hangs", extra={"fields": {"model": self._spec.model}})
        self._recorder.failed("timeout")
        self._recorder.close()
        os._exit(EXIT_HANG)

    def _leave(self, *, wait_s: float) -> None:
        self._server.pause()  # first: a replayed input may still be on its way through a slow model
        self._stop_replay()
        self._server.drain(wait_s=wait_s)
        self._recorder.close()


def arm_last_resort(inference_timeout_s: float) -> None:
    """End this process from C if Python does not get to run for long: native code holds the GIL."""
    faulthandler.dump_traceback_later(2 * inference_timeout_s + 10, exit=True)


def apply_parameters(engine: Engine, spec: WorkerSpec) -> None:
    """Let what is set on this device hold, or the bundle's defaults where it refuses that."""
    if not spec.parameters:
        return
    settings = settled(engine.manifest, Path(spec.parameters))
    if settings.refused and settings.refused != engine.settings.refused:
        fields = {"model": spec.model, "version": settings.version, "why": settings.refused}
        logger.warning("parameters refused: the defaults hold", extra={"fields": fields})
    engine.apply(settings)


def reason_for(error: EdgeKitError) -> Reason:
    """Return what a failed start means for a deployment."""
    match error:
        case ProofError():
            return Reason.GOLDEN
        case BundleError():
            return Reason.BUNDLE
        case _:
            return Reason.LOAD


def _start(spec: WorkerSpec, line: Line) -> Worker:
    spool = Spool(Path(spec.spool), max_bytes=spec.spool_bytes)
    recorder = Recorder(
        spool,
        model=spec.model,
        digest=spec.digest,
        boot_id=spec.boot_id,
        window_s=spec.window_s,
        deadline_ms=spec.deadline_ms,
        clock=time.monotonic,
        rss_mb=rss_mb,
        answers_share=spec.answers_share,
        machine=lambda: machine.numbers(machine.probe(time.monotonic())),
    )
    engine = load_engine(
        Path(spec.bundle),
        Path(spec.files),
        digest=spec.digest,
        threads=spec.threads,
        recorder=recorder,
    )
    apply_parameters(engine, spec)
    difference = 0.0
    if spec.self_test:
        difference = engine.self_test()
    else:
        engine.warm_up()
    worker = Worker(spec, engine, recorder, line)
    manifest = engine.manifest
    line.send(
        Note(
            kind=NoteKind.READY,
            difference=difference,
            version=manifest.version,
            variant=manifest.variant,
        )
    )
    return worker


def _read_spec(line: Line) -> WorkerSpec | None:
    while (specs := line.receive(WorkerSpec)) is not None:
        if specs:
            return specs[0]
    return None


def main(argv: list[str]) -> int:
    """Run one worker; returns its exit code."""
    if len(argv) != 1 or not argv[0].isdigit():
        raise UsageError("this is started by the agent only")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    line = Line(socket.socket(fileno=int(argv[0])))
    spec = _read_spec(line)
    if spec is None:
        return 0
    if spec.cores:
        os.sched_setaffinity(0, spec.cores)
    log.set_up(level=spec.log_level, as_json=spec.log_json)
    try:
        worker = _start(spec, line)
    except EdgeKitError as error:
        line.send(Note(kind=NoteKind.FAILED, reason=reason_for(error), message=str(error)))
        return error.exit_code
    return worker.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
