from collections.abc import Sequence

import numpy as np

from converters.measure import MAX_RUNS, MIN_RUNS, latencies
from edgekit.manifest import TensorSpec
from edgekit.runtime import Tensor


class Recorded:
    """A session that remembers which inputs it was given."""

    runtime = "recorded"
    provider = "cpu"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self) -> None:
        self.seen: list[int] = []

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        self.seen.append(int(tensors[0][0]))
        return list(tensors)


INPUTS: list[list[Tensor]] = [[np.array([i])] for i in range(3)]


def test_every_variant_is_measured_as_often_and_on_every_input():
    first, second = Recorded(), Recorded()
    summaries = latencies({"a": first, "b": second}, INPUTS, budget_s=0.5)
    assert summaries["a"].summary.count == summaries["b"].summary.count <= MAX_RUNS
    assert len(summaries["a"].values_ms) == summaries["a"].summary.count
    assert set(first.seen) == set(second.seen) == {0, 1, 2}


def test_without_a_budget_the_fewest_runs_are_made():
    summaries = latencies({"a": Recorded()}, INPUTS, budget_s=0.0)
    assert summaries["a"].summary.count == MIN_RUNS
    assert summaries["a"].summary.p90 is None
