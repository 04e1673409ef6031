"""A report as if it had been measured, for tests of what is made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.bench import LatencyFile, LatencyReport, Steadiness, percentile_of, record, summarize
from edgekit.bench.condition import Condition, Probe
from edgekit.bench.measure import WarmUp
from edgekit.bench.messages import Slice
from edgekit.bench.report import Memory, Samples, Step
from edgekit.runtime import OperatorTime

CONDITION = Condition(
    affinity=(0, 1),
    governor="performance",
    frequency_mhz=(1800.0, 1800.0),
    temperature_c=(50.0, 55.0),
    throttle_events=0,
    other_load=0.01,
)


def report(count: int = 100, **changes: Any) -> LatencyReport:
    """Return a report of a quiet machine; `changes` replace fields of it."""
    values = np.random.default_rng(1).normal(10.0, 0.05, count).tolist()
    step = Step(
        name="inference",
        summary=summarize(values, unit="ms"),
        percentiles=tuple(percentile_of(values, p) for p in (0.9, 0.99)),
    )
    made = LatencyReport(
        what="release/digits<1>.bundle",
        digest="ab" * 32,
        runtime="onnxruntime",
        version="1.31.1",
        provider="cpu",
        threads=2,
        inputs="golden samples",
        steps=(step,),
        starts={"load": summarize([3.0, 4.0, 5.0], unit="ms")},
        memory=Memory(before_mb=50.0, peak_mb=70.0),
        warm_up=WarmUp(runs=40, seconds=0.4, stable=True),
        condition=CONDITION,
        probes=(Probe(at_s=0.0),),
        steadiness=Steadiness.STABLE,
        drift=None,
        noise_floor=0.004,
        environment=record(),
        operators=(OperatorTime(name="a/b", kind="Conv", median_ms=7.0),),
        curve=(
            Slice(at_s=0.0, inference=step.summary, condition=CONDITION),
            Slice(at_s=1.0, inference=step.summary, condition=CONDITION),
        ),
        samples=Samples(
            started_s=tuple(i / 100 for i in range(count)), steps_ms={"inference": tuple(values)}
        ),
    )
    return replace(made, **changes)


def file(*reports: LatencyReport) -> LatencyFile:
    """Return a file of reports."""
    return LatencyFile(reports=reports or (report(),), measured_at="2026-11-21T19:00:00+00:00")
