"""The measuring harness: warm up, interleave, repeat, and say how sure the number is.

    samples = measure({"ours": ours, "bare": bare}, Effort())
    print(summarize(samples["ours"], unit="ms"), ratio(samples["ours"], samples["bare"], rng=rng))

Prints nothing and knows no command line.
"""

from edgekit.bench.environment import Environment, record
from edgekit.bench.latency import LatencyReport, bench_path
from edgekit.bench.measure import Effort, measure
from edgekit.bench.result import Result, write_results
from edgekit.bench.statistics import (
    Interval,
    Ratio,
    Summary,
    minimum_queries,
    paired_ratio,
    percentile_bound,
    ratio,
    summarize,
)

__all__ = [
    "Effort",
    "Environment",
    "Interval",
    "LatencyReport",
    "Ratio",
    "Result",
    "Summary",
    "bench_path",
    "measure",
    "minimum_queries",
    "paired_ratio",
    "percentile_bound",
    "ratio",
    "record",
    "summarize",
    "write_results",
]
