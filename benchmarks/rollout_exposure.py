"""A bad release goes to 10,000 devices: how many get it, and how long do they keep it?

Ours: the server's own `step`, `open_stage` and gate, with stages of 10 devices, 10 %, 50 % and
100 %, at least half an hour each. Baselines, on the same simulated fleets: all devices at once; and
hawkBit's rule with the same groups, which counts actions that ended well or badly (next group at
50 % success, pause above 50 % errors: its builder's defaults; and above 5 %) and never goes back.
Devices are the same for every rule: they try a release for five minutes and go back by themselves
if the trial fails. Nobody is at the keyboard for the day that is simulated.

A good release is among them: a rule that stops everything would win otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np

from benchmarks.simulated_fleet import (
    BASE_ERRORS,
    INFERENCES_A_MINUTE,
    NEVER,
    POLL_MINUTES,
    Mask,
    Release,
    SimulatedFleet,
)
from edgekit.bench import Result, paired_ratio, summarize
from edgekit.errors import InconclusiveError
from fleet_server.domain.assignment import Candidate, share_of
from fleet_server.domain.deployment import DeploymentState
from fleet_server.domain.evidence import (
    DeviceEvidence,
    Evidence,
    Population,
    Role,
    Stratum,
    Summary,
)
from fleet_server.domain.policy import RolloutPolicy, Stage
from fleet_server.domain.reach import includes
from fleet_server.domain.rollout import Phase, new_rollout, open_stage, step

QUESTION = "devices that ever ran a bad release"
DEVICES = 10_000
MINUTES = 24 * 60
SEED = 20261121
CONTROLS = 200
START = datetime(2026, 1, 1, tzinfo=UTC)
STRATUM = Stratum(variant="onnx-int8")
SHARES = (0.001, 0.1, 0.5, 1.0)
STAGES = (Stage(devices=10), Stage(percent=10.0), Stage(percent=50.0), Stage(percent=100.0))
RELEASES = (
    Release(name="fails its trial on 30 %", fails_trial=0.3),
    Release(name="50 % slower", slowdown=0.5),
    Release(name="5 % errors after the trial", errors=0.05),
    Release(name="20 % fall silent", silences=0.2),
    Release(name="good"),
)


class Rule(Protocol):
    """Decides who is offered the release."""

    @property
    def rolled_back(self) -> bool:
        """True when every device is to go back."""

    def wants(self) -> Mask:
        """Return the devices that may have it now."""

    def look(self, minute: int) -> None:
        """Look at the fleet, every five minutes."""


class AllAtOnce:
    """Everybody, at once."""

    rolled_back = False

    def __init__(self, fleet: SimulatedFleet) -> None:
        self._everybody = np.ones(fleet.size, dtype=np.bool_)

    def wants(self) -> Mask:
        """Return everybody."""
        return self._everybody

    def look(self, minute: int) -> None:
        """Do nothing."""


class HawkBit:
    """Groups that follow each other by the share of actions that ended.

    Source: hawkBit 0.5, ThresholdRolloutGroupErrorCondition (strictly above) and
    ThresholdRolloutGroupSuccessCondition (at least).
    """

    rolled_back = False

    def __init__(self, fleet: SimulatedFleet, *, error: float, success: float = 0.5) -> None:
        self._fleet, self._error, self._success = fleet, error, success
        self._place = np.arange(fleet.size) / fleet.size
        self._group, self._paused = 0, False

    def wants(self) -> Mask:
        """Return the groups that were started; nobody new while paused."""
        if self._paused:
            return np.zeros(self._fleet.size, dtype=np.bool_)
        mask: Mask = self._place < SHARES[self._group]
        return mask

    def look(self, minute: int) -> None:
        """Start the next group, or pause."""
        fleet, low = self._fleet, SHARES[self._group - 1] if self._group else 0.0
        group = (self._place >= low) & (self._place < SHARES[self._group])
        over = (fleet.ended <= minute) & ~fleet.dies
        errors = int((group & over & fleet.fails).sum())
        finished = int((group & over & ~fleet.fails).sum())
        if errors > self._error * group.sum():
            self._paused = True
        elif finished >= self._success * group.sum() and self._group + 1 < len(SHARES):
            self._group += 1


class OurRule:
    """The fleet server's rollout."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        self._fleet = fleet
        self._ids = [f"device-{index}" for index in range(fleet.size)]
        policy = RolloutPolicy(stages=STAGES)
        self._rollout = new_rollout(
            rollout_id="r1", model="m", version="2", policy=policy, now=START
        )
        shares = np.array([share_of("r1", device_id) for device_id in self._ids])
        self._by_share = np.argsort(shares)
        self._taking = np.zeros(fleet.size, dtype=np.bool_)

    @property
    def rolled_back(self) -> bool:
        """True when the gate said FAIL."""
        return self._rollout.phase is Phase.ROLLED_BACK

    @property
    def phase(self) -> Phase:
        """Where the rollout stands."""
        return self._rollout.phase

    def wants(self) -> Mask:
        """Return who takes part; nobody new unless it runs."""
        if self._rollout.phase in {Phase.RUNNING, Phase.FINISHED}:
            return self._taking
        return np.zeros(self._fleet.size, dtype=np.bool_)

    def look(self, minute: int) -> None:
        """Step once, and open the next stage if there is one to open."""
        now = START + timedelta(minutes=minute)
        rollout, _ = step(self._rollout, self._evidence(minute), now)
        if rollout.needs_opening:
            rollout, _ = open_stage(rollout, self._candidates(now), now)
            self._taking = np.array([includes(rollout, d, STRATUM) for d in self._ids])
        self._rollout = rollout

    def _candidates(self, now: datetime) -> list[Candidate]:
        return [
            Candidate(
                device_id=device_id,
                stratum=STRATUM,
                last_polled_at=now,
                poll_interval_s=60.0 * POLL_MINUTES,
                baseline_windows=60,
            )
            for device_id in self._ids
        ]

    def _evidence(self, minute: int) -> Evidence:
        started = self._rollout.stage_started_at
        if started is None or self._rollout.is_terminal:
            return Evidence()
        since = int((started - START) / timedelta(minutes=1))
        fleet = self._fleet
        canaries = np.flatnonzero(self._taking | (fleet.offered != NEVER))
        rest = self._by_share[~self._taking[self._by_share]][:CONTROLS]
        reader = _Reader(fleet, self._ids, since=since, minute=minute)
        devices = [reader.device(int(i), Role.CANARY) for i in canaries]
        devices += [reader.device(int(i), Role.CONTROL) for i in rest]
        dead = fleet.dies & (fleet.activated + 3 * POLL_MINUTES < minute)
        population = Population(
            stratum=STRATUM,
            reachable=int((~dead).sum()),
            taking_part=int((self._taking & ~dead).sum()),
        )
        return Evidence(devices=tuple(devices), populations=(population,))


class _Reader:
    """Turns arrays into what a gate reads."""

    def __init__(self, fleet: SimulatedFleet, ids: list[str], *, since: int, minute: int) -> None:
        self._fleet, self._ids, self._minute = fleet, ids, minute
        begin = np.maximum(np.minimum(fleet.activated, minute), since)
        end = np.where(fleet.dies, begin, np.minimum(fleet.back, minute))
        self._new = np.clip(end - begin, 0, None).astype(np.float64)
        self._old = np.full(fleet.size, float(minute - since))
        every = np.ones(fleet.size, dtype=np.bool_)
        self._logs = {
            Role.CANARY: fleet.mean_log(self._new, on_new=every),
            Role.CONTROL: fleet.mean_log(self._old, on_new=~every),
        }
        self._before = fleet.mean_log_before()

    def device(self, index: int, role: Role) -> DeviceEvidence:
        """Return one device."""
        fleet, canary = self._fleet, role is Role.CANARY
        windows = int((self._new if canary else self._old)[index])
        return DeviceEvidence(
            device_id=self._ids[index],
            stratum=STRATUM,
            role=role,
            outcome=self._outcome(index) if canary else None,
            silent=canary
            and bool(fleet.dies[index])
            and bool(fleet.activated[index] + 3 * POLL_MINUTES < self._minute),
            before=_summary(60, float(self._before[index]), BASE_ERRORS),
            after=_summary(
                windows,
                float(self._logs[role][index]),
                fleet.release.errors if canary else BASE_ERRORS,
            ),
        )

    def _outcome(self, index: int) -> DeploymentState | None:
        fleet, minute = self._fleet, self._minute
        if fleet.offered[index] > minute:
            return None
        if fleet.activated[index] > minute:
            return DeploymentState.DOWNLOADING
        if fleet.ended[index] > minute or fleet.dies[index]:
            return DeploymentState.ACTIVATED
        return DeploymentState.REVERTED if fleet.fails[index] else DeploymentState.COMMITTED


def _summary(windows: int, mean_log: float, errors: float) -> Summary:
    inferences = windows * INFERENCES_A_MINUTE
    failed = round(inferences * errors)
    measured = inferences - failed
    return Summary(
        windows=windows,
        inferences=inferences,
        errors=failed,
        latencies=measured,
        sum_log_latency=measured * mean_log,
        sum_sq_log_latency=measured * mean_log**2,
    )


RULES: dict[str, Callable[[SimulatedFleet], Rule]] = {
    "all at once": AllAtOnce,
    "hawkBit's rule, 50 % errors": lambda fleet: HawkBit(fleet, error=0.5),
    "hawkBit's rule, 5 % errors": lambda fleet: HawkBit(fleet, error=0.05),
    "ours": OurRule,
}


def simulate(fleet: SimulatedFleet, rule: Rule) -> int | None:
    """Run a day; return the minute from which on nobody runs the release, None if there is none."""
    alone_since: int | None = None
    for minute in range(MINUTES):
        if minute % POLL_MINUTES == 0:
            rule.look(minute)
        polling = fleet.polling(minute)
        if rule.rolled_back:
            fleet.go_back(polling, minute)
        else:
            fleet.offer(polling & rule.wants(), minute)
        if fleet.still_on(minute) or not rule.rolled_back:
            alone_since = None
        elif alone_since is None:
            alone_since = minute
    return alone_since


def run(short: bool) -> list[Result]:
    """Simulate every release under every rule; the short form takes about a minute."""
    trials = 5 if short else 30
    return [result for release in RELEASES for result in _one(release, trials)]


def _one(release: Release, trials: int) -> list[Result]:
    exposed: dict[str, list[float]] = {}
    hours: dict[str, list[float]] = {}
    recovered: dict[str, list[float]] = {}
    for name, make in RULES.items():
        for trial in range(trials):
            rng = np.random.default_rng([SEED, trial])
            fleet = SimulatedFleet(DEVICES, release, rng)
            alone_since = simulate(fleet, make(fleet))
            exposed.setdefault(name, []).append(float(fleet.exposed()))
            hours.setdefault(name, []).append(fleet.device_hours(MINUTES))
            recovered.setdefault(name, [])
            if alone_since is not None:
                recovered[name].append(float(alone_since))
    return [
        _result(release, name, exposed, hours=hours[name], recovered=recovered[name])
        for name in RULES
    ]


def _result(
    release: Release,
    name: str,
    exposed: dict[str, list[float]],
    *,
    hours: list[float],
    recovered: list[float],
) -> Result:
    baseline = next(iter(RULES))
    numbers = {
        "device_hours": float(np.median(hours)),
        "share_recovered_in_a_day": len(recovered) / len(hours),
    }
    if recovered:
        numbers["minutes_until_nobody_ran_it"] = float(np.median(recovered))
    result = Result(
        question=QUESTION,
        candidate=name,
        condition=release.name,
        summary=summarize(exposed[name], unit="devices"),
        numbers=numbers,
        samples=tuple(exposed[name]),
    )
    if name == baseline:
        return result
    try:
        over = paired_ratio(exposed[name], exposed[baseline], rng=np.random.default_rng([SEED, 1]))
    except InconclusiveError:
        return result
    return replace(result, ratio=over)
