"""One benchmark that fails stops no other, and is named at the end."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks import __main__ as running
from benchmarks import env
from benchmarks.catalogue import Benchmark, discover
from benchmarks.page import read_results
from edgekit.bench import Result, summarize
from edgekit.errors import EdgeKitError


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "RESULTS", tmp_path)
    monkeypatch.setattr(env, "LOOK_S", 0.01)


def named(name: str, run) -> Benchmark:
    return Benchmark(name=name, question="why?", how="", run=run)


def measured(_short: bool) -> list[Result]:
    summary = summarize([1.0, 2.0], unit="ms")
    return [Result(question="why?", candidate="ours", condition="c", summary=summary)]


def refused(_short: bool) -> list[Result]:
    raise EdgeKitError("no network", where="here")


def broken(_short: bool) -> list[Result]:
    raise ZeroDivisionError("by nothing")


def killed(_short: bool) -> list[Result]:
    subprocess.run([sys.executable, "-c", "raise SystemExit('enough')"], check=True, stderr=-1)
    return []


def test_a_benchmark_that_fails_stops_no_other_and_is_named_at_the_end(
    tmp_path, monkeypatch, capsys
):
    found = (named("a", refused), named("b", broken), named("c", killed), named("d", measured))
    monkeypatch.setattr(running, "discover", lambda: found)
    assert running.main([]) == running.FAILED
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "1/4 a ..."
    assert [line for line in said if line.startswith("1 of 4")]
    assert said[-3:] == [
        "failed: a: here: no network",
        "failed: b: ZeroDivisionError: by nothing",
        "failed: c: a process ended with code 1: enough",
    ]
    (kept,) = read_results(tmp_path)
    assert kept.name == "d"
    assert kept.took_s is not None
    assert kept.other_load is not None


def test_what_has_no_peer_here_is_not_written_and_fails_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(running, "discover", lambda: (named("a", lambda _short: []),))
    assert running.main([]) == 0
    assert "nothing to compare with here" in capsys.readouterr().err
    assert read_results(tmp_path) == []


def test_what_takes_long_runs_only_by_name(monkeypatch, capsys):
    found = (replace(named("a", broken), alone="takes a day"), named("b", measured))
    monkeypatch.setattr(running, "discover", lambda: found)
    assert running.main([]) == 0
    assert "a: only by name: takes a day" in capsys.readouterr().err
    assert running.main(["a"]) == running.FAILED


def test_the_list_says_the_question_of_each(capsys):
    assert running.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(discover())
    assert any(line.startswith("polls ") and "How many polls" in line for line in lines)
