"""Walks one plan through the steps: capture -> lower -> quantize -> check -> package.

What each step requires and ensures stands in `steps`. All bundles of a plan arrive together with
the report, or nothing does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from converters.measure import latencies
from converters.package import deliver, work_folder
from converters.plan import ConversionPlan
from converters.proof import Checked
from converters.report import (
    REPORT,
    ConversionReport,
    SourceReport,
    VariantReport,
    slower_notes,
    variant_report,
)
from converters.steps import (
    Prepared,
    Step,
    Watch,
    capture_source,
    check,
    lower,
    package,
    quantize,
)
from converters.targets import find_variants
from converters.targets.registry import Variant
from edgekit import codec
from edgekit.bundle import Bundle

FINISHED = "finished"


def convert(plan: ConversionPlan, watch: Watch = lambda *_: None) -> ConversionReport:
    """Convert, prove and bundle every variant of a plan, or raise and leave nothing behind.

    Args:
        plan: What to do.
        watch: Told about progress.

    Raises:
        EdgeKitError: A step could not ensure its part; its class says who must act.
    """
    began = time.perf_counter()
    variants = find_variants(plan.variants)
    with work_folder(plan.out) as work:
        (work / FINISHED).mkdir()
        prepared = capture_source(plan, variants, watch)
        made = tuple(_make(v, prepared, plan, work, watch) for v in variants)
        reports = _reports(made, prepared, plan, watch)
        report = ConversionReport(
            model=plan.model,
            version=plan.version,
            source=_source_report(prepared),
            variants=reports,
            seconds=time.perf_counter() - began,
            notes=slower_notes(reports),
        )
        (work / FINISHED / REPORT).write_bytes(codec.encode(report) + b"\n")
        deliver(work / FINISHED, plan.out)
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    bundle: Bundle
    checked: Checked
    seconds: float


def _make(
    variant: Variant, prepared: Prepared, plan: ConversionPlan, work: Path, watch: Watch
) -> _Made:
    began = time.perf_counter()
    watch(variant.name, Step.LOWER, 0.0)
    floating = lower(variant, prepared, work)
    model = quantize(variant, prepared, floating, work, watch)
    checked = check(variant, prepared, plan, model, watch)
    watch(variant.name, Step.PACKAGE, 0.0)
    bundle = package(variant, prepared, plan, checked, work / FINISHED)
    watch(variant.name, Step.PACKAGE, 1.0)
    return _Made(bundle=bundle, checked=checked, seconds=time.perf_counter() - began)


def _reports(
    made: tuple[_Made, ...], prepared: Prepared, plan: ConversionPlan, watch: Watch
) -> tuple[VariantReport, ...]:
    watch(plan.model, Step.MEASURE, 0.0)
    reference = prepared.reference
    inputs = [reference.samples.tensors(i, plan.preprocessing) for i in reference.golden]
    sessions = {m.bundle.manifest.variant: m.checked.session for m in made}
    measured = latencies(sessions, inputs)
    watch(plan.model, Step.MEASURE, 1.0)
    return tuple(
        variant_report(m.bundle, m.checked, measured[m.bundle.manifest.variant], m.seconds)
        for m in made
    )


def _source_report(prepared: Prepared) -> SourceReport:
    return SourceReport(
        name=prepared.captured.source.name,
        accuracy=prepared.reference.accuracy,
        samples=len(prepared.reference.samples),
        metric=prepared.reference.metric.name,
    )
