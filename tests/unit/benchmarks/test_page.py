from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.growth import exponent, fitted
from benchmarks.page import FOLDER, LONG, page, pictures, read_results
from benchmarks.tables import short_tables
from benchmarks.targets import TARGETS, Bound, Target, standing
from edgekit.bench import Result, paired_ratio, record, summarize, write_results
from edgekit.bench.result import ResultFile
from edgekit.bench.svg import number


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
    assert "2026-11-21 19:00 UTC" in text
    assert "| c | 1 ms | 2.1 ms (2x) |" in text
    assert "| c | ours | 2.1 ms |" in text
    assert "lost answers 0" in text


@pytest.mark.parametrize(("other_load", "busy"), [(0.0, False), (1.9, True)])
def test_a_busy_machine_is_said(tmp_path, other_load, busy):
    machine = replace(record(), cores=2, load=9.0)
    write_results(
        tmp_path / "growth.json",
        [row("ours", "c", [1.0] * 3)],
        environment=machine,
        short=True,
        took_s=41.0,
        other_load=other_load,
    )
    text = page(read_results(tmp_path))
    assert "| 41 s |" in text
    assert ("The machine was busy" in text) is busy


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
    one = standing(replace(at_most, condition="1 cl*"), files)
    assert (one.reached, one.kept) == (2.0, True)
    above = standing(replace(at_most, condition="8*", measure="above pe*"), files)
    assert (above.reached, above.kept) == (-45.0, True)
    over = replace(at_most, measure="over pe*", bound=Bound.AT_LEAST, limit=0.04)
    assert (standing(over, files).reached, standing(over, files).kept) == (0.1, True)
    none = standing(replace(at_most, measure="number x"), files)
    assert (none.reached, none.kept) == (None, None)


def test_the_worst_measurement_of_a_row_can_be_meant(tmp_path):
    files = results(tmp_path, "growth", [row("ours", "c", [1.0, 2.0, 9.0])])
    meant = Target(
        benchmark="growth",
        what="w",
        candidate="*",
        measure="extreme",
        bound=Bound.AT_MOST,
        limit=4.0,
    )
    assert standing(meant, files).reached == 9.0
    assert standing(replace(meant, bound=Bound.AT_LEAST), files).reached == 1.0


def test_candidates_stand_side_by_side_or_conditions_do_or_each_beside_its_baseline():
    few = [row(name, f"{n} clients", [1.0] * 3) for n in (1, 8) for name in ("bare", "ours")]
    ((_, table),) = short_tables(few, {})
    assert table[0] == "|  | bare | ours |"
    many = [row(f"c{index}", f"{n} clients", [1.0] * 3) for n in (1, 8) for index in range(9)]
    ((title, table),) = short_tables(many, {"By clients": "* clients"})
    assert (title, table[0], len(table)) == ("By clients", "|  | 1 | 8 |", 11)
    ratio = paired_ratio([2.0], [1.0], rng=np.random.default_rng(1))
    apart = [
        one
        for index in range(9)
        for one in (
            row(f"peer {index}", f"{index}", [1.0]),
            replace(row(f"ours {index}", f"{index}", [2.0]), ratio=ratio),
        )
    ]
    ((_, table),) = short_tables(apart, {})
    assert table[2] == "| 0 | peer 0: 1 ms | ours 0: 2 ms | 2 (2 to 2) |"
    assert len(table) == 11


def test_a_long_table_is_folded_and_a_short_one_is_not(tmp_path):
    many = [row(f"ours {n}", f"{n}", [1.0] * 3) for n in range(LONG + 1)]
    folded = f"<summary>{LONG + 1} rows with intervals</summary>"
    assert folded in page(results(tmp_path, "growth", many))
    assert "<details>" not in page(results(tmp_path, "growth", many[1:]))


def test_targets_are_about_rows_that_exist():
    """A row that a benchmark got after its last run is told as not measured, on the page."""
    files = read_results()
    for file in files:
        meant = [target for target in TARGETS if target.benchmark == file.name]
        found = [standing(target, files).reached for target in meant]
        assert not meant or any(one is not None for one in found), file.name


def test_the_page_is_what_the_results_make_of_it():
    written = Path(__file__).parents[3] / "docs" / "benchmarks.md"
    assert written.read_text() == page(read_results()), (
        "run: python -m benchmarks.page > docs/benchmarks.md"
    )


def test_the_pictures_are_what_the_results_make_of_them():
    drawn = pictures(read_results())
    assert {path.name: path.read_text() for path in FOLDER.glob("*.svg")} == drawn, (
        "run: python -m benchmarks.page > docs/benchmarks.md"
    )
