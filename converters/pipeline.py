"""Walks one plan through the steps: capture -> lower -> quantize -> check -> package.

What each step requires and ensures stands in `steps`. All bundles of a plan arrive together with
the report, or nothing does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from converters.cache import Cache
from converters.ladder import Climbed, climb
from converters.measure import latencies
from converters.package import deliver, work_folder
from converters.page import PAGE, html_page
from converters.pictures import flips_of
from converters.plan import ConversionPlan
from converters.quantize import FP32
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
from edgekit.errors import BudgetError
from edgekit.runtime import open_session

FINISHED = "finished"


def convert(plan: ConversionPlan, watch: Watch = lambda *_: None) -> ConversionReport:
    """Convert, prove and bundle every variant of a plan, or raise and leave nothing behind.

    A quantized variant that is slower here than its float file is left out unless the plan allows
    it; the report says so.

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
        measured = _measure(made, prepared, plan, watch)
        slower = slower_than_float(measured, _floats(made))
        kept = made if plan.allow_slower else _without(made, slower)
        report = ConversionReport(
            model=plan.model,
            version=plan.version,
            source=_source_report(prepared),
            variants=tuple(_report(m, measured[m.name]) for m in kept),
            seconds=time.perf_counter() - began,
            notes=tuple(slower.values()),
            rejected=tuple(m.name for m in made if m not in kept),
        )
        (work / FINISHED / REPORT).write_bytes(codec.encode(report) + b"\n")
        flips = {
            m.name: flips_of(prepared.reference, m.climbed.checked.answers, plan.labels)
            for m in kept
        }
        (work / FINISHED / PAGE).write_text(html_page(report, flips), encoding="utf-8")
        deliver(work / FINISHED, plan.out)
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    variant: Variant
    bundle: Bundle
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
    watch(variant.name, Step.PACKAGE, 0.0)
    bundle = package(variant, climbed.rung, prepared, plan, climbed.checked, folder=work / FINISHED)
    watch(variant.name, Step.PACKAGE, 1.0)
    return _Made(
        variant=variant,
        bundle=bundle,
        climbed=climbed,
        floating=floating,
        seconds=time.perf_counter() - began,
    )


def _measure(
    made: tuple[_Made, ...], prepared: Prepared, plan: ConversionPlan, watch: Watch
) -> dict[str, Summary]:
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
    """Remove the bundles of variants that are slower than their float.

    Raises:
        BudgetError: None would be left.
    """
    kept = tuple(m for m in made if m.name not in slower)
    if not kept:
        raise BudgetError(
            f"nothing is left: {'; '.join(slower.values())}",
            todo="give --allow-slower, or convert to the float variant",
        )
    for m in made:
        if m not in kept:
            m.bundle.path.unlink()
    return kept


def _source_report(prepared: Prepared) -> SourceReport:
    return SourceReport(
        name=prepared.captured.source.name,
        accuracy=prepared.reference.accuracy,
        samples=len(prepared.reference.samples),
        metric=prepared.reference.metric.name,
    )


def _report(made: _Made, latency: Summary) -> VariantReport:
    climbed = made.climbed
    return variant_report(
        made.bundle, climbed.checked, latency, made.seconds, attempts=climbed.attempts
    )
