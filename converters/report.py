"""What a conversion tells: the numbers beside the bundles, in report.json and on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.proof import Checked
from edgekit.bench import Summary
from edgekit.bundle import Bundle

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionReport:
    """One conversion.

    Attributes:
        model: Name of the model.
        version: Version of the release.
        source: The reference.
        variants: In the order of the plan.
        seconds: Time of the whole conversion.
        notes: What a person should know, such as an int8 that is slower here than its float.
        format_version: Version of this report, "major.minor".
    """

    model: str
    version: str
    source: SourceReport
    variants: tuple[VariantReport, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    format_version: str = "1.0"


def variant_report(
    bundle: Bundle, checked: Checked, latency: Summary, seconds: float
) -> VariantReport:
    """Return what is told about a bundle."""
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
        median_ms=latency.median,
        median_low_ms=latency.interval.low,
        median_high_ms=latency.interval.high,
        p90_ms=latency.p90,
        runs=latency.count,
        seconds=seconds,
    )


def slower_notes(variants: Sequence[VariantReport]) -> tuple[str, ...]:
    """Say which quantized variants were slower here than the float variant of their runtime."""
    floats = {v.runtime: v for v in variants if v.variant.endswith("-fp32")}
    return tuple(
        f"{v.variant} is slower here than {floats[v.runtime].variant} "
        f"({v.median_ms:.3f} ms against {floats[v.runtime].median_ms:.3f} ms)"
        for v in variants
        if v.runtime in floats and v.median_low_ms > floats[v.runtime].median_high_ms
    )
