from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from edgekit.bench import Steadiness, read_latency, save_latency, summarize
from edgekit.bench.measure import WarmUp
from edgekit.bench.messages import Slice
from edgekit.bench.page import page, percentile_text
from edgekit.bench.report import START_PARTS
from edgekit.bench.statistics import percentile_of
from edgekit.bench.steadiness import Drift
from edgekit.bench.svg import ticks
from edgekit.cli.bench import sustained_text
from edgekit.errors import FormatError, StorageError
from tests.unit.edgekit.bench_reports import CONDITION, file, report


def test_nothing_speaks_against_a_quiet_machine():
    assert report().warnings == ()


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"steadiness": None}, "too few measurements"),
        (
            {
                "steadiness": Steadiness.DRIFTING,
                "drift": Drift(change=0.12, significant=True),
            },
            "drifting: latency changed by \\+12.0%",
        ),
        ({"steadiness": Steadiness.THROTTLED}, "throttled"),
        ({"warm_up": WarmUp(runs=9, seconds=10.0, stable=False)}, "still not warm after 10 s"),
        ({"condition": replace(CONDITION, other_load=0.8)}, "0.8 cores busy"),
        ({"threads": 4}, "4 threads shared 2 cores"),
        ({"inputs": "random numbers"}, "random numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_result_says_what_speaks_against_it(changes, warning):
    assert re.search(warning, "; ".join(report(**changes).warnings))


def test_a_machine_that_was_not_quiet_is_warned_about():
    it = report()
    loud = replace(it.steps[0], summary=summarize([1.0, 2.0, 3.0], unit="ms"))
    assert any("more than 2.5%" in warning for warning in report(steps=(loud,)).warnings)


def test_a_saved_result_is_read_back_whole(tmp_path):
    save_latency(tmp_path / "r.json", file())
    assert read_latency(tmp_path / "r.json") == file()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "no result of a benchmark"),
        ('{"kind":"edgekit.latency","format_version":"2.0"}', "format version '2.0' is unknown"),
        ('{"kind":"edgekit.latency","format_version":"1.9"}', "missing required field"),
        ("no", "not a valid"),
    ],
)
def test_something_else_is_no_result(tmp_path, text, said):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(FormatError, match=said):
        read_latency(tmp_path / "r.json")


def test_a_result_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StorageError):
        read_latency(tmp_path / "none.json")
    with pytest.raises(StorageError):
        save_latency(tmp_path / "no" / "folder.json", file())


def test_a_percentile_below_its_minimum_says_what_it_needs():
    assert percentile_text(percentile_of([1.0] * 100, 0.99)) == "n/a (needs 662)"
    assert percentile_text(percentile_of([1.0] * 662, 0.99)) == "1"


def test_the_page_is_whole_and_fetches_nothing():
    text = page(file(report(), report(count=30, samples=None, operators=(), curve=())))
    root = ET.fromstring(text.removeprefix("<!doctype html>"))
    assert len(list(root.iter("svg"))) >= 6
    assert "prefers-color-scheme: dark" in text
    assert "digits&lt;1&gt;.bundle" in text
    assert "digits<1>" not in text
    assert not any(word in text for word in ("http://", "https://", "<script", "url("))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0031, 0.0049), (12.0, 4800.0)])
def test_ticks_are_few_and_inside(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert all(low <= tick <= high * 1.0001 for tick in found)


def test_a_sustained_load_is_told_by_its_first_worst_and_last_slice():
    it = report()
    slices = [
        Slice(at_s=at, inference=summarize([ms, ms], unit="ms"), condition=CONDITION)
        for at, ms in ((0.0, 10.0), (1.0, 14.0), (2.0, 12.0))
    ]
    assert it.curve
    assert sustained_text(slices) == (
        "sustained: median 10 ms in the first of 3 slices, 14 in the worst, 12 in the last "
        "(+20.0%), 0 throttling events"
    )


def test_one_value_has_one_tick():
    assert ticks(3.0, 3.0) == [3.0]


def test_the_parts_of_a_start_follow_each_other_whatever_a_file_says(tmp_path):
    one = summarize([1.0], unit="ms")
    whole = report(starts=dict.fromkeys(START_PARTS, one))
    save_latency(tmp_path / "r.json", file(whole))
    (read,) = read_latency(tmp_path / "r.json").reports
    assert [name for name, _ in read.starts_in_order] == list(START_PARTS)
