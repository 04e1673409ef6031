from __future__ import annotations

import gc
import itertools

import numpy as np
import pytest

from edgekit import codec
from edgekit.bench import Effort, Result, measure, record, summarize, write_results
from edgekit.bench import stream as streaming
from edgekit.bench.result import ResultFile
from edgekit.errors import StorageError, UsageError

ONE = Effort(warmup_runs=0, num_runs=4, min_secs=0.0)


def test_candidates_take_turns_and_reverse_each_round():
    calls: list[str] = []
    samples = measure({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, ONE)
    assert "".join(calls) == "abbaabba"
    assert {name: len(values) for name, values in samples.items()} == {"a": 4, "b": 4}


def test_warm_up_runs_are_not_counted():
    calls: list[int] = []
    samples = measure({"a": lambda: calls.append(1)}, Effort(warmup_runs=3, num_runs=2, min_secs=0))
    assert (len(calls), len(samples["a"])) == (5, 2)


def test_the_collector_rests_while_measuring_and_works_afterwards():
    states: list[bool] = []
    measure({"a": lambda: states.append(gc.isenabled())}, ONE)
    assert states == [False] * 4
    assert gc.isenabled()


def test_an_error_of_a_candidate_leaves_the_collector_on():
    def fails() -> None:
        raise UsageError("no")

    with pytest.raises(UsageError):
        measure({"a": fails}, ONE)
    assert gc.isenabled()


def test_the_environment_says_on_what_it_was_measured(tmp_path):
    environment = record(tmp_path)
    assert environment.cores >= 1
    assert "numpy" in environment.packages
    assert environment.commit == ""  # no checkout there


def test_results_are_read_back_as_they_were_written(tmp_path):
    result = Result(
        question="q", candidate="ours", condition="", summary=summarize([1.0, 2.0], unit="ms")
    )
    file = tmp_path / "results" / "polls.json"
    written = write_results(file, [result], environment=record(), short=True)
    assert written.name == "polls"
    assert codec.decode(file.read_bytes(), ResultFile, where="x") == written


def test_results_that_cannot_be_kept_are_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_results(tmp_path / "file" / "x.json", [], environment=record(), short=True)


def test_of_very_many_queries_some_are_kept_evenly(monkeypatch):
    monkeypatch.setattr(streaming, "MAX_KEPT", 100)
    asked = itertools.count()
    query = streaming.Query(prepare=[list], infer=lambda tensors: (next(asked), tensors)[1])
    found = streaming.stream(query, Effort(num_runs=1000, min_secs=0.0))
    assert next(asked) == 1000
    assert len(found.started_s) == 1000 // 16 + 1  # halved at 100, 200, 400 and 800
    assert (np.diff(found.started_s) > 0).all()


def test_a_stream_of_very_fast_queries_is_as_long_as_was_wanted(monkeypatch):
    monkeypatch.setattr(streaming, "MAX_KEPT", 1000)
    query = streaming.Query(prepare=[list], infer=lambda tensors: tensors)
    found = streaming.stream(query, Effort(num_runs=1, min_secs=0.2))
    assert 500 <= len(found.started_s) <= 1000
    assert found.started_s[-1] > 0.1
