"""The measuring harness: warm up, interleave, repeat, and say how sure the number is.

    samples = measure({"ours": ours, "bare": bare}, Effort())
    print(summarize(samples["ours"], unit="ms"), ratio(samples["ours"], samples["bare"], rng=rng))
    report = bench_path(Path("digits.bundle"), Setting(threads=2))

Prints nothing and knows no command line.
"""

from edgekit.bench.effort import PRESETS, Effort, Preset
from edgekit.bench.environment import Environment, record
from edgekit.bench.latency import Setting, bench_path
from edgekit.bench.measure import measure
from edgekit.bench.report import LatencyFile, LatencyReport, read_latency, save_latency
from edgekit.bench.result import Result, write_results
from edgekit.bench.statistics import (
    Interval,
    Ratio,
    Summary,
    minimum_queries,
    paired_ratio,
    percentile_bound,
    percentile_of,
    ratio,
    summarize,
)
from edgekit.bench.steadiness import Steadiness

__all__ = [
    "Effort",
    "Environment",
    "Interval",
    "LatencyFile",
    "LatencyReport",
    "PRESETS",
    "Preset",
    "Ratio",
    "Result",
    "Setting",
    "Steadiness",
    "Summary",
    "bench_path",
    "measure",
    "minimum_queries",
    "paired_ratio",
    "percentile_bound",
    "percentile_of",
    "ratio",
    "read_latency",
    "record",
    "save_latency",
    "summarize",
    "write_results",
]
