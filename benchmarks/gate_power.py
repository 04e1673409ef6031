"""How often does a gate stop a good release, and how often a slow one, against the usual gates?

Simulates fleets: one-minute windows, 60 before the swap and 60 after; each device has its own
latency (sd 20 % of log latency), its own slow weather (AR(1), rho 0.8, sd 6 %), all share a common
shock (AR(1), sd 10 %), and each device shifts by itself between the two hours (sd 3 %).

The harder case, measured beside it: only canaries shift, because each likes or dislikes the new
version in its own way. The pooled variance then comes from controls that are too quiet.

Compared in the same trials: the project's five-look test on devices, with and without its margin;
Mann-Whitney on pooled windows; a ratio above 1.10 in five consecutive minutes. Beside them the
share of good releases that each default mode lets pass, and the error-rate budget.

Run `python -m benchmarks gate_power`. The baselines are the other methods; nothing here is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.signal import lfilter

from edgekit.bench import Result
from edgekit.bench.statistics import Interval, Summary
from fleet_server.domain.guard_rails import MIN_ERRORS
from fleet_server.domain.judgement import CheckName
from fleet_server.domain.metrics import LATENCY, OTHERS, holm, weights
from fleet_server.domain.policy import GateMode, GatePolicy
from fleet_server.domain.relative import mode_for
from fleet_server.domain.statistics import difference, wilson

Floats: TypeAlias = npt.NDArray[np.float64]

MINUTES = 60
DESIGNS = ((1, 5), (3, 10), (5, 20), (10, 50))
SLOWDOWNS = (0.0, 0.10, 0.20, 0.50)
SHIFT = 0.03
BASE_ERROR_RATE = 0.01
SEED = 20261121
SHOWN = {
    "Share of good releases that are stopped, by canaries v controls": "* effect 0: fail",
    "Share of releases 20 % slower that are stopped": "* effect 0.2: fail",
    "Share of releases 50 % slower that are stopped": "* effect 0.5: fail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """How often a method gave an answer.

    Attributes:
        method: What judged.
        answer: "fail" or "pass".
        canaries: Devices on the new version.
        controls: Devices on the old one.
        effect: True slowdown as a share, or the factor on the error rate.
        share: How often, in [0, 1].
        low: Lower end of its 95 % Wilson interval.
        high: Upper end.
        trials: Simulated stages.
    """

    method: str
    answer: str
    canaries: int
    controls: int
    effect: float
    share: float
    low: float
    high: float
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Mean ln(latency) of each window, shape [devices, 2 * MINUTES]; the swap is in the middle."""

    canaries: Floats
    controls: Floats


def simulate(
    rng: np.random.Generator,
    *,
    canaries: int,
    controls: int,
    slowdown: float,
    rho: float = 0.8,
    control_shift: float = SHIFT,
) -> Fleet:
    """Return one stage of a simulated fleet.

    Args:
        rng: Source of randomness.
        canaries: Devices that swap.
        controls: Devices that do not.
        slowdown: True slowdown of the new version, as a share.
        rho: Correlation of one minute's weather with the next.
        control_shift: How much a control shifts by itself between the hours (sd of ln latency).
    """
    devices = canaries + controls
    level = rng.normal(0.0, 0.20, (devices, 1))
    weather = _autoregressive(rng, (devices, 2 * MINUTES), rho=rho, sd=0.06)
    shock = _autoregressive(rng, (1, 2 * MINUTES), rho=rho, sd=0.10)
    logs = np.log(20.0) + level + weather + shock
    logs[:canaries, MINUTES:] += np.log1p(slowdown) + rng.normal(0.0, SHIFT, (canaries, 1))
    logs[canaries:, MINUTES:] += rng.normal(0.0, control_shift, (controls, 1))
    return Fleet(canaries=logs[:canaries], controls=logs[canaries:])


def _autoregressive(
    rng: np.random.Generator, shape: tuple[int, int], *, rho: float, sd: float
) -> Floats:
    """Return stationary AR(1) rows of standard deviation `sd`."""
    noise = rng.normal(0.0, sd, shape)
    noise[:, 1:] *= np.sqrt(1 - rho * rho)
    filtered: Floats = lfilter([1.0], [1.0, -rho], noise, axis=1)
    return filtered


def five_looks(fleet: Fleet, gate: GatePolicy) -> str:
    """Answer "fail", "pass" or "inconclusive" as the server does at its planned looks."""
    margin = float(np.log1p(gate.margin))
    for look in range(1, gate.looks + 1):
        end = MINUTES + MINUTES * look // gate.looks
        found = difference(
            _changes(fleet.canaries, end), _changes(fleet.controls, end), alpha=gate.alpha_per_look
        )
        if found.low > margin:
            return "fail"
    proven = found.high < margin
    mode = mode_for(gate, len(fleet.canaries))
    return "pass" if proven or mode is GateMode.MUST_NOT_FAIL else "inconclusive"


def _changes(logs: Floats, end: int) -> list[float]:
    change = logs[:, MINUTES:end].mean(axis=1) - logs[:, :MINUTES].mean(axis=1)
    return [float(x) for x in change]


def pooled_mann_whitney(fleet: Fleet) -> str:
    """Judge as canary analysis services do: all windows after the swap, as if independent."""
    canary, control = (side[:, MINUTES:].ravel() for side in (fleet.canaries, fleet.controls))
    found = stats.mannwhitneyu(canary, control, alternative="greater", method="asymptotic")
    return "fail" if float(found.pvalue) < 0.05 else "pass"


def five_consecutive(fleet: Fleet) -> str:
    """Judge as service meshes do: canary mean over control mean above 1.10, five times running."""
    canary, control = (
        np.exp(side[:, MINUTES:]).mean(axis=0) for side in (fleet.canaries, fleet.controls)
    )
    running = 0
    for over in canary / control > 1.10:
        running = running + 1 if over else 0
        if running == 5:
            return "fail"
    return "pass"


USUAL: dict[str, Callable[[Fleet], str]] = {
    "Mann-Whitney, pooled windows": pooled_mann_whitney,
    "ratio > 1.10, five in a row": five_consecutive,
}
OURS: dict[str, Callable[[Fleet], str]] = {
    "device t, 5 looks, no margin": lambda fleet: five_looks(fleet, GatePolicy(margin=0.0)),
    "device t, 5 looks, 5 % margin": lambda fleet: five_looks(fleet, GatePolicy(margin=0.05)),
    "device t, 5 looks, default": lambda fleet: five_looks(fleet, GatePolicy()),
    "device t, 5 looks, latency beside five": lambda fleet: five_looks(
        fleet, _with_share(LATENCY.name)
    ),
    "device t, 5 looks, guard-rail beside five": lambda fleet: five_looks(
        fleet, _with_share(OTHERS[0].name)
    ),
}
"""The third is what a rollout file gets when it says nothing. The last two have what Holm's weights
leave to one metric when six are compared and the other five are as before."""
FAMILY = tuple(metric.name for metric in (LATENCY, *OTHERS))


def _with_share(name: CheckName) -> GatePolicy:
    return GatePolicy(alpha=GatePolicy().alpha * weights(FAMILY)[name])


def family_fails(fleets: Sequence[Fleet], gate: GatePolicy) -> bool:
    """Say whether any of six metrics, one fleet each, fails at any look; no margins."""
    for look in range(1, gate.looks + 1):
        end = MINUTES + MINUTES * look // gate.looks
        p = {}
        for name, fleet in zip(FAMILY, fleets, strict=True):
            found = difference(
                _changes(fleet.canaries, end), _changes(fleet.controls, end), alpha=gate.alpha
            )
            p[name] = float(stats.t.sf(found.estimate / found.standard_error, found.degrees))
        if min(holm(p).values()) <= gate.alpha_per_look:
            return True
    return False


def measure_family(*, trials: int, seed: int = SEED) -> list[Cell]:
    """Return how often six metrics that nothing worsened fail a stage; each by noise of its own."""
    gate, results = GatePolicy(), []
    for canaries, controls in ((3, 10), (10, 50)):
        rng = np.random.default_rng([seed, canaries])
        given = []
        for _ in range(trials):
            fleets = [
                simulate(rng, canaries=canaries, controls=controls, slowdown=0.0) for _ in FAMILY
            ]
            given.append("fail" if family_fails(fleets, gate) else "pass")
        name = "family of six metrics, no margins"
        results.append(_result(name, "fail", (canaries, controls), 0.0, given))
    return results


def measure(
    *,
    trials: int,
    designs: Sequence[tuple[int, int]] = DESIGNS,
    slowdowns: Sequence[float] = SLOWDOWNS,
    methods: dict[str, Callable[[Fleet], str]] = USUAL | OURS,
    seed: int = SEED,
    rho: float = 0.8,
    control_shift: float = SHIFT,
) -> list[Cell]:
    """Return how often each method fails and passes stages; the same stages for every method."""
    note = "" if control_shift else ", steady controls"
    results = []
    for canaries, controls in designs:
        for slowdown in slowdowns:
            rng = np.random.default_rng([seed, canaries, controls, int(slowdown * 1000)])
            answers: dict[str, list[str]] = {name: [] for name in methods}
            for _ in range(trials):
                fleet = simulate(
                    rng,
                    canaries=canaries,
                    controls=controls,
                    slowdown=slowdown,
                    rho=rho,
                    control_shift=control_shift,
                )
                for name, method in methods.items():
                    answers[name].append(method(fleet))
            results += [
                _result(name + note, answer, (canaries, controls), slowdown, given)
                for name, given in answers.items()
                for answer in ("fail", "pass")
            ]
    return results


def measure_error_budget(*, trials: int, seed: int = SEED) -> list[Cell]:
    """Return how often the Wilson bound breaks a budget of 2 % at 1, 2 and 4 times a base of 1 %.

    Error rates differ between devices (beta, sd half of the mean); 20,000 inferences a device.
    """
    gate = GatePolicy()
    results = []
    for canaries, controls in ((3, 10), (10, 50)):
        for factor in (1.0, 2.0, 4.0):
            rng = np.random.default_rng([seed, canaries, int(factor)])
            mean, sd = BASE_ERROR_RATE * factor, BASE_ERROR_RATE * factor / 2
            size = mean * (1 - mean) / sd**2 - 1
            given = []
            for _ in range(trials):
                rates = rng.beta(mean * size, (1 - mean) * size, canaries)
                errors = int(rng.binomial(20_000, rates).sum())
                found = wilson(errors, 20_000 * canaries, alpha=gate.alpha_per_look)
                over = errors >= MIN_ERRORS and found.low > gate.error_rate_budget
                given.append("fail" if over else "pass")
            name = "Wilson bound over 2 % errors"
            results.append(_result(name, "fail", (canaries, controls), factor, given))
    return results


def _result(
    method: str, answer: str, design: tuple[int, int], effect: float, given: list[str]
) -> Cell:
    found = wilson(given.count(answer), len(given), alpha=0.025)
    return Cell(
        method=method,
        answer=answer,
        canaries=design[0],
        controls=design[1],
        effect=effect,
        share=found.share,
        low=found.low,
        high=found.high,
        trials=len(given),
    )


def run(short: bool) -> list[Result]:
    """Measure everything, with 400 simulated stages a cell or 4,000."""
    trials = 400 if short else 4000
    harder = measure(trials=trials, slowdowns=(0.0,), methods=OURS, control_shift=0.0)
    cells = measure(trials=trials) + harder + measure_error_budget(trials=trials)
    cells += measure_family(trials=trials)
    return [_as_result(cell) for cell in cells]


def _as_result(cell: Cell) -> Result:
    """Return a cell as a result: its median and interval are the share and Wilson's."""
    return Result(
        question="how often does a gate answer so?",
        candidate=cell.method,
        condition=f"{cell.canaries} v {cell.controls}, effect {cell.effect:g}: {cell.answer}",
        summary=Summary(
            unit="share",
            count=cell.trials,
            median=cell.share,
            interval=Interval(low=cell.low, high=cell.high),
            p90=None,
            minimum=0.0,
            maximum=1.0,
            variation=0.0,
        ),
    )
