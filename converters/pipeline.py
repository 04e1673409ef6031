"""Walks one plan through the steps: capture -> lower -> quantize -> check -> package.

What each step requires and ensures stands in `steps`. All bundles of a plan arrive together with
the report, or nothing does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from converters.cache import Cache
from converters.choice import Candidate, pareto_front, preferences, ranked
from converters.ladder import Climbed, climb
from converters.layers import Layer, layers_of
from converters.measure import Latency, latencies, peak_memory_mb
from converters.package import deliver, work_folder
from converters.page import PAGE, html_page
from converters.pictures import flips_of
from converters.plan import ConversionPlan
from converters.quantize import FP32, Kind, Recipe
from converters.report import (
    REPORT,
    ConversionReport,
    SourceReport,
    VariantReport,
    slower_than_float,
    variant_report,
)
from converters.steps import Prepared, Step, Watch, capture_source, lower, package
from converters.targets import find_variants
from converters.targets.registry import Variant
from edgekit import codec
from edgekit.bench import Summary
from edgekit.bundle import Bundle
from edgekit.errors import BudgetError, EdgeKitError
from edgekit.runtime import open_session

FINISHED = "finished"


def convert(plan: ConversionPlan, watch: Watch = lambda *_: None) -> ConversionReport:
    """Convert, prove and bundle every variant of a plan, or raise and leave nothing behind.

    A quantized variant that is slower here than its float file is made anew with less of it
    quantized, where its target knows how, and left out if that is slower, too; unless the plan
    allows it. The report says so.

    Args:
        plan: What to do.
        watch: Told about progress.

    Raises:
        BudgetError: Every variant is slower than its float, or one loses too much accuracy.
        EdgeKitError: A step could not ensure its part; its class says who must act.
    """
    began = time.perf_counter()
    variants = find_variants(plan.variants)
    with work_folder(plan.out) as work:
        (work / FINISHED).mkdir()
        cache = Cache(plan.cache or work / "cache")
        prepared = capture_source(plan, variants, cache, watch)
        made = tuple(_make(v, prepared, plan, work, watch) for v in variants)
        made, measured, remade = _fast(made, prepared, plan, work=work, watch=watch)
        slower = _slower(made, measured)
        kept = made if plan.allow_slower else _without(made, slower)
        told, notes, picked = _package(kept, measured, prepared, plan, work=work, watch=watch)
        report = ConversionReport(
            model=plan.model,
            version=plan.version,
            source=_source_report(prepared),
            variants=told,
            seconds=time.perf_counter() - began,
            calibration=prepared.facts,
            notes=(
                *prepared.reference.doubts,
                *slower.values(),
                *remade,
                *notes,
                *(prepared.facts.warnings if prepared.facts else ()),
            ),
            picked=picked,
            max_accuracy_drop=plan.max_accuracy_drop,
            rejected=tuple(m.name for m in made if m not in kept),
        )
        (work / FINISHED / REPORT).write_bytes(codec.encode(report) + b"\n")
        flips = {
            m.name: flips_of(prepared.reference, m.climbed.checked.answers, plan.labels)
            for m in kept
        }
        (work / FINISHED / PAGE).write_text(html_page(report, flips), encoding="utf-8")
        deliver(work / FINISHED, plan.out)
    if plan.cache is not None:
        cache.forget_unused()
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    variant: Variant
    climbed: Climbed
    floating: Path
    seconds: float

    @property
    def name(self) -> str:
        return self.variant.name


def _make(
    variant: Variant, prepared: Prepared, plan: ConversionPlan, work: Path, watch: Watch
) -> _Made:
    began = time.perf_counter()
    watch(variant.name, Step.LOWER, 0.0)
    floating = lower(variant, prepared, work)
    climbed = climb(variant, prepared, plan, floating=floating, work=work, watch=watch)
    return _Made(
        variant=variant,
        climbed=climbed,
        floating=floating,
        seconds=time.perf_counter() - began,
    )


def _fast(
    made: tuple[_Made, ...],
    prepared: Prepared,
    plan: ConversionPlan,
    *,
    work: Path,
    watch: Watch,
) -> tuple[tuple[_Made, ...], dict[str, Latency], tuple[str, ...]]:
    """Make anew what is slower here than its float and need not be.

    Returns:
        What was made, the latencies, and notes on what was made anew.
    """
    measured = _measure(made, prepared, plan, watch)
    slower = {} if plan.allow_slower else _slower(made, measured)
    anew = {
        m.name: leaner
        for m in made
        if m.name in slower and (leaner := _leaner(m, prepared, plan, work, watch)) is not None
    }
    if not anew:
        return made, measured, ()
    made = tuple(anew.get(m.name, m) for m in made)
    notes = (f"{slower[name]}, so it has {m.climbed.rung.name}" for name, m in anew.items())
    return made, _measure(made, prepared, plan, watch), tuple(notes)


def _leaner(
    made: _Made, prepared: Prepared, plan: ConversionPlan, work: Path, watch: Watch
) -> _Made | None:
    """Return a variant with less of it quantized; None where its target knows no such way."""
    leaner: Callable[[Path, Recipe], Recipe | None] | None = getattr(
        made.variant.target, "leaner", None
    )
    recipe = leaner and leaner(made.floating, made.variant.recipe)
    if not recipe:
        return None
    began = time.perf_counter()
    variant = replace(made.variant, recipe=recipe)
    folder = work / "leaner"
    folder.mkdir(exist_ok=True)
    try:
        climbed = climb(variant, prepared, plan, floating=made.floating, work=folder, watch=watch)
    except EdgeKitError:
        return None
    return replace(made, climbed=climbed, seconds=made.seconds + time.perf_counter() - began)


def _slower(made: tuple[_Made, ...], measured: Mapping[str, Latency]) -> dict[str, str]:
    return slower_than_float({n: m.summary for n, m in measured.items()}, _floats(made))


def _package(
    kept: tuple[_Made, ...],
    measured: Mapping[str, Latency],
    prepared: Prepared,
    plan: ConversionPlan,
    *,
    work: Path,
    watch: Watch,
) -> tuple[tuple[VariantReport, ...], tuple[str, ...], str]:
    """Write the bundles; return what is told about them, notes, and the one that is picked."""
    candidates = [_candidate(m, measured[m.name].summary) for m in kept]
    order = ranked(candidates, plan.objective) if plan.objective else ()
    preference, front = preferences(order), pareto_front(candidates)
    told, notes = [], []
    for m in kept:
        watch(m.name, Step.PACKAGE, 0.0)
        bundle, note = package(
            m.variant,
            m.climbed.rung,
            prepared,
            plan,
            m.climbed.checked,
            folder=work / FINISHED,
            preference=preference.get(m.name),
        )
        notes += [*(f"{m.name}: {line}" for line in m.climbed.warnings), *([note] if note else [])]
        peak_mb = peak_memory_mb(bundle.path, plan.threads)
        layers = _layers(m, prepared, plan)
        told.append(_report(m, bundle, measured[m.name], layers, peak_mb, front=m.name in front))
        watch(m.name, Step.PACKAGE, 1.0)
    return tuple(told), tuple(notes), order[0] if order else ""


def _layers(made: _Made, prepared: Prepared, plan: ConversionPlan) -> tuple[Layer, ...]:
    """Return what is left after each layer of a file that was quantized with ranges."""
    if made.climbed.rung.kind is not Kind.STATIC:
        return ()
    return layers_of(
        made.variant.target.format,
        made.floating,
        made.climbed.checked.model,
        prepared.reference,
        plan.preprocessing,
    )


def _candidate(made: _Made, latency: Summary) -> Candidate:
    return Candidate(
        name=made.name,
        median_ms=latency.median,
        low_ms=latency.interval.low,
        high_ms=latency.interval.high,
        model_bytes=made.climbed.checked.model.stat().st_size,
        accuracy=made.climbed.checked.accuracy,
    )


def _measure(
    made: tuple[_Made, ...], prepared: Prepared, plan: ConversionPlan, watch: Watch
) -> dict[str, Latency]:
    """Return the latency of each variant, and of each float file that one was made from."""
    watch(plan.model, Step.MEASURE, 0.0)
    reference = prepared.reference
    inputs = [reference.samples.tensors(i, plan.preprocessing) for i in reference.golden]
    sessions = {m.name: m.climbed.checked.session for m in made}
    for m in made:
        if _float_name(m) not in sessions:
            sessions[_float_name(m)] = open_session(
                m.floating, m.variant.target.format, threads=plan.threads
            )
    measured = latencies(sessions, inputs)
    watch(plan.model, Step.MEASURE, 1.0)
    return measured


def _float_name(made: _Made) -> str:
    return f"{made.variant.target.name}-{FP32.name}"


def _floats(made: tuple[_Made, ...]) -> dict[str, str]:
    return {m.name: _float_name(m) for m in made if m.name != _float_name(m)}


def _without(made: tuple[_Made, ...], slower: Mapping[str, str]) -> tuple[_Made, ...]:
    """Leave out the variants that are slower than their float.

    Raises:
        BudgetError: None would be left.
    """
    kept = tuple(m for m in made if m.name not in slower)
    if not kept:
        raise BudgetError(
            f"nothing is left: {'; '.join(slower.values())}",
            todo="give --allow-slower, or convert to the float variant",
        )
    return kept


def _source_report(prepared: Prepared) -> SourceReport:
    return SourceReport(
        name=prepared.captured.source.name,
        accuracy=prepared.reference.accuracy,
        samples=len(prepared.reference.samples),
        metric=prepared.reference.metric.name,
    )


def _report(
    made: _Made,
    bundle: Bundle,
    latency: Latency,
    layers: tuple[Layer, ...],
    peak_mb: float | None,
    *,
    front: bool,
) -> VariantReport:
    climbed = made.climbed
    return variant_report(
        bundle,
        climbed.checked,
        latency,
        made.seconds,
        attempts=climbed.attempts,
        peak_mb=peak_mb,
        front=front,
        layers=layers,
    )
