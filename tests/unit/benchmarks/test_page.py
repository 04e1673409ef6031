from __future__ import annotations

import numpy as np
import pytest

from benchmarks.growth import exponent, fitted
from benchmarks.page import number, page, read_results
from edgekit.bench import Result, paired_ratio, record, summarize, write_results


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
