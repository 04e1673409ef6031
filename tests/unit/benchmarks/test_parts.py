"""A run of some parts leaves the rows of the others, and says from which run they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import int8_accuracy, int8_latency
from benchmarks.parts import joined
from edgekit.bench import Result, record, summarize
from edgekit.bench.result import ResultFile


def _row(condition: str, value: float) -> Result:
    summary = summarize([value], unit="ms")
    return Result(question="q", candidate="ours", condition=condition, summary=summary)


def _file(*rows: Result) -> ResultFile:
    return ResultFile(
        name="x",
        short=True,
        environment=replace(record(), commit="abc"),
        results=rows,
        measured_at="2026-11-21T23:40+00:00",
    )


def _not_b(condition: str) -> bool:
    return not condition.startswith("b")


def test_rows_that_were_not_asked_for_stand_where_they_stood() -> None:
    before = _file(_row("a, one", 1), _row("b, one", 2), _row("c, one", 3))
    rows = joined([_row("b, one", 20), _row("b, two", 21)], before, _not_b)
    assert [(row.condition, row.summary.median) for row in rows] == [
        ("a, one", 1),
        ("b, one", 20),
        ("c, one", 3),
        ("b, two", 21),
    ]
    assert [row.kept_from for row in rows] == [
        "2026-11-21 23:40 UTC, abc",
        "",
        "2026-11-21 23:40 UTC, abc",
        "",
    ]


def test_a_row_that_is_kept_again_says_the_first_run() -> None:
    before = _file(replace(_row("a", 1), kept_from="2026-11-20 10:00 UTC, def"))
    (row, _) = joined([_row("b", 2)], before, _not_b)
    assert row.kept_from == "2026-11-20 10:00 UTC, def"


def test_a_part_that_was_asked_for_loses_the_rows_that_it_no_longer_has() -> None:
    before = _file(_row("b, refused", 1))
    assert joined([_row("b, one", 2)], before, _not_b) == [_row("b, one", 2)]


def test_without_a_run_before_there_is_only_this_one() -> None:
    assert joined([_row("b", 2)], None, _not_b) == [_row("b", 2)]


def test_a_run_of_all_parts_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("EDGEKIT_BENCH_NETS", "EDGEKIT_BENCH_CASES"):
        monkeypatch.delenv(key, raising=False)
    assert not int8_latency.left_out("two GRUs, OpenVINO, against NNCF")
    assert not int8_accuracy.left_out("spoken digits CNN, five folds")


def test_a_run_of_some_networks_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_BENCH_NETS", "recurrent,vit_tiny")
    assert not int8_latency.left_out("two GRUs, OpenVINO, against NNCF")
    assert int8_latency.left_out("ResNet-18, OpenVINO")
    monkeypatch.setenv("EDGEKIT_BENCH_CASES", "mnist")
    assert not int8_accuracy.left_out("MNIST CNN, ONNX file")
    assert int8_accuracy.left_out("spoken digits CNN, five folds")
