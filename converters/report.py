"""What a conversion tells: the numbers beside the bundles, in report.json and on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from converters.collection import Facts
from converters.layers import Layer
from converters.measure import Latency
from converters.proof import Checked
from edgekit.bench import Summary
from edgekit.bundle import Bundle
from edgekit.verdict import Verdict

REPORT = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """The reference.

    Attributes:
        name: As the engineer named it.
        accuracy: On the held-out samples, by the metric; None for "parity".
        samples: Held-out samples.
        metric: Measure of accuracy.
    """

    name: str
    accuracy: float | None
    samples: int
    metric: str = "top1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One rung of the ladder.

    Attributes:
        rung: Its name.
        verdict: On its loss; PENDING where no budget was given.
        drop: Accuracy lost, percentage points or the metric's unit; None if it was not measured.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
        missing_samples: Samples that are missing to decide; None if no number is in sight.
        reason: Why it was not measured.
    """

    rung: str
    verdict: Verdict
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    missing_samples: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantReport:
    """One variant.

    Attributes:
        variant: Its name.
        bundle: File name of its bundle.
        sha256: Digest of the bundle.
        bundle_bytes: Length of the bundle.
        model_bytes: Length of the model file in it.
        accuracy: On the held-out samples, by the metric; None for "parity".
        max_abs_diff: Worst difference to the reference.
        sqnr_db: Signal to quantization noise ratio, dB.
        agreement: Share of samples with the reference's answer, in [0, 1].
        runtime: Runtime that it was proven and measured with.
        median_ms: Median latency here, the variants taking turns.
        median_low_ms: Lower end of the median's 95 % interval.
        median_high_ms: Upper end of it.
        p90_ms: Bound of the 90th percentile; None when too few runs were made to tell.
        runs: Runs that were measured.
        seconds: Time that making and proving it took.
        attempts: Rungs that were tried; the last one made the variant.
        peak_mb: Most memory that a process with this model alone held, MiB; None if unknown.
        front: Whether no other variant is as fast, as small and as accurate, and better in one.
        latency_ms: Every run that was measured, to a microsecond.
        layers: Signal that is left after each layer; empty for files without ranges.
    """

    variant: str
    bundle: str
    sha256: str
    bundle_bytes: int
    model_bytes: int
    accuracy: float | None
    max_abs_diff: float
    sqnr_db: float
    agreement: float
    runtime: str
    median_ms: float
    median_low_ms: float
    median_high_ms: float
    p90_ms: float | None
    runs: int
    seconds: float
    attempts: tuple[Attempt, ...] = ()
    peak_mb: float | None = None
    front: bool = False
    latency_ms: tuple[float, ...] = ()
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionReport:
    """One conversion.

    Attributes:
        model: Name of the model.
        version: Version of the release.
        source: The reference.
        variants: In the order of the plan.
        calibration: What ranges were taken from; None where no variant needed any.
        seconds: Time of the whole conversion.
        notes: What a person should know, such as an int8 that is slower here than its float.
        rejected: Variants that were left out because they are slower here than their float.
        picked: The best variant by the plan's objective; empty without one.
        max_accuracy_drop: Loss that the plan allows; None where it judges none.
        format_version: Version of this report, "major.minor".
    """

    model: str
    version: str
    source: SourceReport
    variants: tuple[VariantReport, ...]
    seconds: float
    calibration: Facts | None = None
    notes: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    picked: str = ""
    max_accuracy_drop: float | None = None
    format_version: str = "1.0"


def variant_report(
    bundle: Bundle,
    checked: Checked,
    latency: Latency,
    seconds: float,
    *,
    attempts: tuple[Attempt, ...] = (),
    layers: tuple[Layer, ...] = (),
    peak_mb: float | None = None,
    front: bool = False,
) -> VariantReport:
    """Return what is told about a bundle."""
    summary = latency.summary
    return VariantReport(
        variant=bundle.manifest.variant,
        bundle=bundle.path.name,
        sha256=bundle.sha256,
        bundle_bytes=bundle.size,
        model_bytes=bundle.manifest.files[bundle.manifest.file].size,
        accuracy=checked.accuracy,
        max_abs_diff=checked.parity.max_abs_diff,
        sqnr_db=checked.parity.sqnr_db,
        agreement=checked.parity.agreement,
        runtime=checked.session.runtime,
        median_ms=summary.median,
        median_low_ms=summary.interval.low,
        median_high_ms=summary.interval.high,
        p90_ms=summary.p90,
        runs=summary.count,
        seconds=seconds,
        attempts=attempts,
        peak_mb=peak_mb,
        front=front,
        latency_ms=tuple(round(value, 3) for value in latency.values_ms),
        layers=layers,
    )


def slower_than_float(variants: Mapping[str, Summary], floats: Mapping[str, str]) -> dict[str, str]:
    """Return why variants are slower than their float file, by variant; the intervals part.

    Args:
        variants: Latencies, float files included.
        floats: Name of the float file of each quantized variant.
    """
    return {
        name: f"{name} is slower here than {of} "
        f"({variants[name].median:.3f} ms against {variants[of].median:.3f} ms)"
        for name, of in floats.items()
        if variants[name].interval.low > variants[of].interval.high
    }
