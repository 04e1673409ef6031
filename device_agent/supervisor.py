"""Owns the worker processes: one that answers for each model, a candidate, one in reserve.

A thread listens to all of them, restarts one that ends by itself (5 times in 60 s), and ends one
that no longer speaks. The agent's loop gives the orders. Knows no server and no journal.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

from device_agent.config import Config, Layout
from device_agent.listeners import Listeners
from device_agent.parameters import FILE as PARAMETERS
from device_agent.seats import CandidateView, FrontView, Seat, unexplained, view_of
from device_agent.slots import BUNDLE
from device_agent.worker.messages import CommandKind, Mode, Note, WorkerSpec
from device_agent.workers import Phase, WorkerProcess, connect, spawn
from edgekit.shadow import ShadowOrder

logger = logging.getLogger(__name__)
RESTARTS = 5
RESTARTS_IN_S = 60.0
SILENCE_S = 5.0
POLL_S = 0.2


class Supervisor:
    """Starts, watches and ends workers. Public methods are for the agent's loop."""

    def __init__(
        self,
        config: Config,
        layout: Layout,
        *,
        boot_id: str,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Start watching.

        Args:
            config: Settings of the agent.
            layout: Of the agent's folder.
            boot_id: Name of this boot.
            clock: Monotonic, seconds.
            on_change: Called without the lock whenever something visible changed.
        """
        self._config, self._layout, self._boot_id = config, layout, boot_id
        self._clock = clock
        self._on_change = on_change
        self._seats: dict[str, Seat] = {}
        self._changed = threading.Condition(threading.RLock())
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def serve(self, model: str, digest: str, *, self_test: bool = False) -> None:
        """Let a committed bundle answer; returns before it is ready. Idempotent.

        With `self_test` it answers only after its golden samples reproduced.
        """
        with self._ordering():
            seat = self._seat(model)
            front = seat.front
            if front is not None and front.alive and front.spec.digest == digest:
                return
            self._retire(seat, front)
            self._retire(seat, seat.reserve)
            seat.mode, seat.exhausted_s, seat.reserve = Mode.STEADY, None, None
            seat.restarts.clear()
            seat.front = self._start(seat, model, digest, serve=Mode.STEADY, self_test=self_test)

    def wait_serving(self, model: str, *, timeout_s: float) -> bool:
        """Wait until the front of a model answers; False if it does not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_serving(model), timeout_s)

    def prepare(self, model: str, digest: str) -> Note:
        """Start a candidate beside the front and wait for its self-test.

        Returns:
            Its READY or FAILED; a candidate that FAILED is gone.
        """
        with self._ordering():
            seat = self._seat(model)
            self._retire(seat, seat.candidate)
            candidate = self._start(seat, model, digest, self_test=True)
            seat.candidate = candidate
        with self._changed:
            self._changed.wait_for(
                lambda: candidate.phase is not Phase.STARTING or self._stopping,
                self._config.load_timeout_s,
            )
            if candidate.phase is Phase.READY and candidate.ready is not None:
                return candidate.ready
            note = candidate.failure or unexplained(candidate)
            candidate.kill()
        return note

    def stand_by(self, model: str, order: ShadowOrder) -> CandidateView | None:
        """Let the front hand inputs on to the candidate, which answers nobody; idempotent.

        Called again after the front was replaced it connects the new one.

        Returns:
            The candidate; None if there is none.
        """
        with self._changed:
            seat = self._seat(model)
            candidate, front = seat.candidate, seat.front
            if candidate is None:
                return None
            serves = front is not None and front.phase is Phase.SERVING
            if front is not None and serves and candidate.phase is Phase.READY:
                beside = (front.spec.digest, front.process.pid)
                if seat.beside != beside:
                    connect(front, candidate, order)
                    seat.beside = beside
            return CandidateView(
                ended=candidate.phase is Phase.ENDED,
                hung=candidate.hung,
                stats=candidate.stats,
                beside=seat.beside,
            )

    def discard(self, model: str) -> None:
        """End a candidate that will not be activated; idempotent."""
        with self._ordering():
            seat = self._seats.get(model)
            if seat is not None:
                if seat.beside is not None and seat.front is not None and seat.front.alive:
                    seat.front.shadow(CommandKind.HAND_ON, None)
                seat.beside = None
                self._retire(seat, seat.candidate)
                seat.candidate = None

    def switch(self, model: str, mode: Mode) -> bool:
        """Let the candidate answer and keep the front in reserve; False if there is no candidate.

        The candidate accepts before the front stops: no connection is refused in between.
        """
        with self._ordering():
            seat = self._seat(model)
            candidate, front = seat.candidate, seat.front
            if candidate is None or candidate.phase is not Phase.READY:
                return False
            candidate.serve(mode)
            if front is not None and front.phase is Phase.SERVING:
                front.pause()
            else:
                self._retire(seat, front)
                front = None
            seat.front, seat.candidate, seat.reserve = candidate, None, front
            seat.mode, seat.crashes, seat.hangs, seat.exhausted_s = mode, 0, 0, None
            seat.restarts.clear()
            return True

    def settle(self, model: str) -> None:
        """Keep the front for good: its windows are steady, the reserve goes. Idempotent."""
        with self._ordering():
            seat = self._seat(model)
            self._retire(seat, seat.reserve)
            seat.reserve = None
            if seat.front is not None and seat.mode is not Mode.STEADY:
                seat.front.command(CommandKind.SETTLE)
            seat.mode = Mode.STEADY

    def go_back(self, model: str, digest: str) -> None:
        """Let `digest` answer again, from the reserve if it is there; "" unloads the model.

        Idempotent; returns when the reserve answers, or when a new worker has been started.
        """
        with self._ordering():
            seat = self._seat(model)
            self._retire(seat, seat.candidate)
            reserve, front, seat.reserve, seat.candidate = seat.reserve, seat.front, None, None
            seat.mode, seat.exhausted_s = Mode.STEADY, None
            seat.restarts.clear()
            if front is not None and front.alive and digest == front.spec.digest:
                return
            if reserve is not None and reserve.alive and reserve.spec.digest == digest:
                reserve.serve(Mode.STEADY)
                seat.front = reserve
            else:
                self._retire(seat, reserve)
                seat.front = self._start(seat, model, digest, serve=Mode.STEADY) if digest else None
            self._retire(seat, front)

    def exercise(self, model: str) -> None:
        """Let the candidate, or else the front, recompute its golden samples, counted in stats."""
        with self._ordering():
            seat = self._seat(model)
            worker = seat.candidate or seat.front
            if worker is not None:
                worker.command(CommandKind.EXERCISE)

    def reread_parameters(self, model: str) -> None:
        """Let every worker of a model read its parameters again."""
        with self._ordering():
            seat = self._seats.get(model)
            for worker in seat.workers() if seat is not None else ():
                worker.command(CommandKind.PARAMETERS)

    def view(self) -> dict[str, FrontView]:
        """Return what answers for each model that something answers for."""
        with self._changed:
            return {m: view_of(s, s.front) for m, s in self._seats.items() if s.front is not None}

    def running(self) -> dict[str, str]:
        """Return the digest that really answers, by model."""
        return {model: front.digest for model, front in self.view().items() if front.serving}

    def exhausted(self) -> dict[str, float]:
        """Return the models whose front would not stay up, and since when (monotonic seconds)."""
        with self._changed:
            return {
                model: seat.exhausted_s
                for model, seat in self._seats.items()
                if seat.exhausted_s is not None
            }

    def stop(self) -> None:
        """Drain every worker, end those that do not, listen no more."""
        with self._ordering():
            for seat in self._seats.values():
                for worker in seat.workers():
                    self._retire(seat, worker)
                seat.front = seat.candidate = seat.reserve = None
        with self._changed:
            self._changed.wait_for(
                lambda: not any(s.workers() for s in self._seats.values()),
                self._config.drain_s + 2 * SILENCE_S,
            )
            self._stopping = True
        self._wake()
        self._thread.join(SILENCE_S)
        for seat in self._seats.values():
            seat.listeners.close()

    @contextlib.contextmanager
    def _ordering(self) -> Iterator[None]:
        """Hold the lock for orders, then wake the watching thread and tell who cares."""
        with self._changed:
            yield
            self._changed.notify_all()
        self._wake()
        self._on_change()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    def _seat(self, model: str) -> Seat:
        if model not in self._seats:
            folder = self._layout.models / model
            port = self._config.ports.get(model, 0)
            self._seats[model] = Seat(folder=folder, listeners=Listeners(folder, port=port))
        return self._seats[model]

    def _is_serving(self, model: str) -> bool:
        seat = self._seats.get(model)
        return bool(seat and seat.front and seat.front.phase is Phase.SERVING)

    def _start(
        self,
        seat: Seat,
        model: str,
        digest: str,
        *,
        serve: Mode | None = None,
        self_test: bool = False,
    ) -> WorkerProcess:
        config, source = self._config, self._config.source
        spec = WorkerSpec(
            model=model,
            digest=digest,
            bundle=str(seat.folder / digest / BUNDLE),
            files=str(seat.folder / digest / "files"),
            parameters=str(seat.folder / PARAMETERS),
            listeners=seat.listeners.filenos(),
            spool=str(self._layout.spool),
            spool_bytes=round(config.spool_mb * (1 << 20)),
            boot_id=self._boot_id,
            window_s=config.window_s,
            inference_timeout_s=config.inference_timeout_s,
            deadline_ms=config.deadline_ms,
            drain_s=config.drain_s,
            threads=config.threads,
            cores=config.cores,
            memory_mb=config.memory_mb,
            self_test=self_test,
            answers_share=config.answers_share,
            log_level=config.log_level,
            log_json=config.log_json,
            source=source if source is not None and source.model in {"", model} else None,
        )
        worker = spawn(spec, now_s=self._clock())
        worker.serve_when_ready = serve
        return worker

    def _retire(self, seat: Seat, worker: WorkerProcess | None) -> None:
        if worker is None or not worker.alive:
            return
        worker.leave()
        seat.leaving.append((worker, self._clock() + self._config.drain_s + SILENCE_S))

    def _watch(self) -> None:
        while not self._stopping:
            with self._changed:
                ends = {w.line.end: w for s in self._seats.values() for w in s.workers()}
            waits: list[int | socket.socket] = [self._wake_read, *ends]
            readable, _, _ = select.select(waits, [], [], POLL_S)
            if self._wake_read in readable:
                os.read(self._wake_read, 4096)
            with self._changed:
                before = self._outline()
                for end, worker in ends.items():
                    if end in readable and not worker.listen(self._clock()):
                        worker.bury()
                for model, seat in self._seats.items():
                    self._look_after(model, seat)
                changed = self._outline() != before
                self._changed.notify_all()
            if changed:
                self._on_change()

    def _outline(self) -> list[tuple[int, Phase]]:
        workers = [w for s in self._seats.values() for w in s.workers()]
        return [(w.process.pid, w.phase) for w in workers]

    def _look_after(self, model: str, seat: Seat) -> None:
        now = self._clock()
        for worker in seat.workers():
            if worker.alive and self._silent(worker, now):
                worker.hung = True
                worker.kill()
        for worker, deadline in seat.leaving:
            if now > deadline:
                worker.kill()
        seat.leaving = [(w, d) for w, d in seat.leaving if w.phase is not Phase.ENDED]
        if seat.reserve is not None and seat.reserve.phase is Phase.ENDED:
            seat.reserve = None
        front = seat.front
        if front is not None and front.phase is Phase.ENDED and seat.exhausted_s is None:
            self._replace(model, seat, front, now)

    def _silent(self, worker: WorkerProcess, now: float) -> bool:
        patience = self._config.inference_timeout_s + SILENCE_S
        if worker.phase is Phase.STARTING:
            patience = self._config.load_timeout_s
        return now - worker.heard_s > patience

    def _replace(self, model: str, seat: Seat, ended: WorkerProcess, now: float) -> None:
        """Count the end of a front, and start it again within the budget."""
        seat.hangs, seat.crashes = seat.hangs + ended.hung, seat.crashes + (not ended.hung)
        fields = {"model": model, "code": ended.process.returncode, "hung": ended.hung}
        logger.error("worker ended", extra={"fields": fields})
        while seat.restarts and now - seat.restarts[0] > RESTARTS_IN_S:
            seat.restarts.popleft()
        if seat.mode is Mode.PROBATION and seat.reserve is not None:
            # The agent's loop decides what the trial is worth; meanwhile the old model answers.
            seat.reserve.serve(Mode.STEADY)
            seat.front, seat.reserve = seat.reserve, None
        elif len(seat.restarts) >= RESTARTS:
            seat.exhausted_s = now
        else:
            seat.restarts.append(now)
            tested = ended.spec.self_test and ended.ready is None
            seat.front = self._start(
                seat, model, ended.spec.digest, serve=seat.mode, self_test=tested
            )
