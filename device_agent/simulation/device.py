"""One simulated device: the agent's state table with steps that only pretend to run a model."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from device_agent.ddi import Ddi, Poll
from device_agent.journal import Deployment, Ending
from device_agent.states import Event, State, advance
from device_agent.transport import GoneError
from edgekit.protocol import DeploymentKind, Outcome, Reason, TelemetryBatch
from edgekit.telemetry import LogHistogram, Window

_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How releases do on simulated devices.

    Attributes:
        slower: Version to how many times slower than 10 ms it answers; others answer in 10 ms.
        crashing: Versions that fail on probation.
        probation_s: How long a trial lasts, seconds.
        windows: Windows of telemetry that a device sends with each poll.
    """

    slower: Mapping[str, float] = field(default_factory=dict)
    crashing: frozenset[str] = frozenset()
    probation_s: float = 1.0
    windows: int = 1


@dataclass(slots=True, kw_only=True)
class Installed:
    """A bundle that a simulated device holds."""

    version: str
    digest: str


@dataclass(slots=True, kw_only=True)
class SimulatedDevice:
    """One device. `turn` never waits; it says when it wants the next turn.

    Attributes:
        ddi: The agent's protocol client.
        behave: How releases do.
        rng: Spreads latencies.
        clock: Monotonic seconds.
        boot_id: Of its telemetry.
        running: Model to what it runs.
        committed: Model to what it committed last.
        ran: Versions that it ever ran.
        state: Where its update stands.
    """

    ddi: Ddi
    behave: Behaviour
    rng: random.Random
    clock: Callable[[], float]
    boot_id: str
    running: dict[str, Installed] = field(default_factory=dict)
    committed: dict[str, Installed] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    state: State = State.IDLE
    _wanted: Deployment | None = None
    _ending: Ending | None = None
    _trial_ends_s: float = 0.0
    _sleep_s: float = 1.0
    _seq: int = 0

    def turn(self) -> float:
        """Go on until there is something to wait for; returns how long, seconds.

        Raises:
            NetworkError: The server does not answer; the next turn goes on in the same state.
        """
        if self.state is State.IDLE:
            self._advance(Event.WAKE)
        while self.state is not State.IDLE:
            event = self._step()
            if event is None:
                return max(0.0, self._trial_ends_s - self.clock())
            self._advance(event)
        return self._sleep_s

    def _advance(self, event: Event) -> None:
        self.state = advance(self.state, event)

    def _step(self) -> Event | None:
        steps: dict[State, Callable[[], Event | None]] = {
            State.POLLING: self._poll,
            State.AUTHORIZING: lambda: self._say(State.DOWNLOADING, Event.OK),
            State.DOWNLOADING: self._download,
            State.ACTIVATING: self._activate,
            State.PROBATION: self._try,
            State.COMMITTING: self._commit,
            State.ROLLING_BACK: self._go_back,
            State.REPORTING: self._report,
        }
        # What is missing was verified while it came, and there is nothing to stage.
        return steps[self.state]() if self.state in steps else Event.OK

    def _poll(self) -> Event:
        answer = self.ddi.poll({model: held.digest for model, held in self.running.items()})
        self._sleep_s = answer.sleep_s
        self._send_windows(answer)
        if answer.cancel:
            self.ddi.agree_to_cancel(answer.cancel)
            return Event.NOTHING
        if not answer.deployment:
            return Event.NOTHING
        try:
            self._wanted = self.ddi.deployment(answer.deployment)
        except GoneError:
            return Event.NOTHING
        self._ending = None
        return Event.OFFERED

    def _send_windows(self, answer: Poll) -> None:
        if not self.running or not answer.telemetry or not self.behave.windows:
            return
        windows = tuple(
            self._window(model, held)
            for model, held in self.running.items()
            for _ in range(self.behave.windows)
        )
        batch = TelemetryBatch(
            spool_id="simulated", boot_id=self.boot_id, sent_mono_s=self.clock(), windows=windows
        )
        self.ddi.send_windows(answer.telemetry, batch)

    def _window(self, model: str, held: Installed) -> Window:
        self._seq += 1
        mean = 10.0 * self.behave.slower.get(held.version, 1.0)
        return Window(
            seq=self._seq,
            model=model,
            digest=held.digest,
            boot_id=self.boot_id,
            ended_mono_s=self.clock(),
            duration_s=1.0,
            inferences=100,
            latency_ms=LogHistogram.of([mean * self.rng.uniform(0.95, 1.05) for _ in range(4)]),
        )

    def _download(self) -> Event:
        wanted, digest = self._current(), hashlib.sha256()
        try:
            with self.ddi.transport.stream("GET", wanted.url) as response:
                while data := response.read(_READ_BYTES):
                    digest.update(data)
        except GoneError:
            return Event.WITHDRAWN
        if digest.hexdigest() == wanted.digest:
            return Event.OK
        return self._ends(Outcome.FAILED, Reason.DIGEST, Event.FAILED)

    def _activate(self) -> Event:
        wanted = self._current()
        self.running[wanted.model] = Installed(version=wanted.version, digest=wanted.digest)
        self.ran.add(wanted.version)
        if wanted.kind is DeploymentKind.ROLLBACK:
            return Event.RETURNED
        self._trial_ends_s = self.clock() + self.behave.probation_s
        return self._say(State.PROBATION, Event.OK)

    def _try(self) -> Event | None:
        if self.clock() < self._trial_ends_s:
            return None
        if self._current().version in self.behave.crashing:
            return self._ends(Outcome.REVERTED, Reason.CRASH, Event.FAILED)
        return Event.OK

    def _commit(self) -> Event:
        model = self._current().model
        self.committed[model] = self.running[model]
        return self._ends(Outcome.COMMITTED, Reason.NONE, Event.OK)

    def _go_back(self) -> Event:
        model = self._current().model
        before = self.committed.get(model)
        if before is None:
            self.running.pop(model, None)
        else:
            self.running[model] = before
        return Event.OK

    def _report(self) -> Event:
        assert self._ending is not None  # noqa: S101 (REPORTING is entered by `_ends` only)
        with suppress(GoneError):  # the server heard it the first time
            self.ddi.closed(self._current(), self._ending)
        return Event.OK

    def _say(self, state: State, event: Event) -> Event:
        try:
            self.ddi.proceeding(self._current(), state, "simulated")
        except GoneError:
            return Event.WITHDRAWN if self.state is State.AUTHORIZING else event
        return event

    def _ends(self, outcome: Outcome, reason: Reason, event: Event) -> Event:
        wanted = self._current()
        held = self.running.get(wanted.model)
        digest = held.digest if held is not None and outcome is Outcome.COMMITTED else ""
        self._ending = Ending(
            action=wanted.action,
            version=wanted.version,
            outcome=outcome,
            reason=reason,
            digest=digest,
        )
        return event

    def _current(self) -> Deployment:
        assert self._wanted is not None  # noqa: S101 (set before any state that asks)
        return self._wanted
