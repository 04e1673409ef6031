from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.growth import exponent, fitted
from benchmarks.page import LONG, number, page, read_results
from benchmarks.targets import TARGETS, Bound, Target, standing
from edgekit.bench import Result, paired_ratio, record, summarize, write_results
from edgekit.bench.result import ResultFile


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_of_a_power_is_the_power(power):
    sizes = [100.0, 200.0, 400.0, 800.0]
    assert exponent(sizes, [3.0 * n**power for n in sizes]) == pytest.approx(power)


def test_the_interval_holds_the_true_exponent():
    rng = np.random.default_rng(3)
    samples = {n: list(n * rng.lognormal(0, 0.1, 40)) for n in (100, 200, 400, 800)}
    value, interval = fitted(samples, rng=rng)
    assert interval.low <= value <= interval.high
    assert interval.low < 1.0 < interval.high


@pytest.mark.parametrize(
    ("value", "text"), [(10_000.0, "10,000"), (0.01250001, "0.0125"), (999.0, "999")]
)
def test_numbers_are_read_by_people(value, text):
    assert number(value) == text


def test_the_page_says_when_where_and_against_what(tmp_path):
    rng = np.random.default_rng(1)
    ours, bare = [2.0, 2.1, 2.2], [1.0, 1.0, 1.1]
    base = Result(question="q", candidate="bare", condition="c", summary=summarize(bare, unit="ms"))
    other = Result(
        question="q",
        candidate="ours",
        condition="c",
        summary=summarize(ours, unit="ms"),
        ratio=paired_ratio(ours, bare, rng=rng),
        numbers={"lost_answers": 0.0},
    )
    write_results(
        tmp_path / "growth.json",
        [base, other],
        environment=record(),
        short=True,
        measured_at="2026-11-21T19:00+00:00",
    )
    (tmp_path / "mine.local.json").write_text("{}")
    text = page(read_results(tmp_path))
    assert "How does each cost grow" in text
    assert "2026-11-21T19:00" in text
    assert "| c | ours | 2.1 ms |" in text
    assert "lost answers 0" in text


def row(candidate: str, condition: str, values: list[float]) -> Result:
    summary = summarize(values, unit="ms")
    return Result(question="q", candidate=candidate, condition=condition, summary=summary)


def results(folder: Path, name: str, rows: list[Result]) -> list[ResultFile]:
    write_results(
        folder / f"{name}.json", rows, environment=record(), short=True, measured_at="today"
    )
    return read_results(folder)


def test_a_target_stands_by_the_worst_of_its_rows(tmp_path):
    rows = [row("ours", f"{n} clients", [ms] * 3) for n, ms in ((1, 2.0), (8, 5.0))]
    files = results(tmp_path, "growth", [*rows, row("peer", "8 clients", [50.0] * 3)])
    at_most = Target(benchmark="growth", what="w", candidate="ours", bound=Bound.AT_MOST, limit=4.0)
    every = standing(at_most, files)
    assert (every.reached, every.kept) == (5.0, False)
    one = standing(replace(at_most, condition="1 cl"), files)
    assert (one.reached, one.kept) == (2.0, True)
    over = standing(replace(at_most, over="pe", bound=Bound.AT_LEAST, limit=0.04), files)
    assert (over.reached, over.kept) == (0.04, True)
    none = standing(replace(at_most, number="x"), files)
    assert (none.reached, none.kept) == (None, None)


def test_a_long_table_is_folded_and_a_short_one_is_not(tmp_path):
    many = [row("ours", f"{n}", [1.0] * 3) for n in range(LONG + 1)]
    assert f"<summary>{LONG + 1} rows</summary>" in page(results(tmp_path, "growth", many))
    assert "<details>" not in page(results(tmp_path, "growth", many[1:]))


def test_targets_are_about_rows_that_exist():
    files = read_results()
    names = {file.name for file in files}
    for target in TARGETS:
        if target.benchmark in names and not target.over:
            assert standing(target, files).reached is not None, target.what


def test_the_page_is_what_the_results_make_of_it():
    written = Path(__file__).parents[3] / "docs" / "benchmarks.md"
    assert written.read_text() == page(read_results()), (
        "run: python -m benchmarks.page > docs/benchmarks.md"
    )
