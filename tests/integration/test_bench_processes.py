"""The measuring process is real here: it loads models, is timed, dies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.bench import Effort, Setting, bench_path
from edgekit.bench.messages import Ask, Request
from edgekit.bench.process import MeasuringProcess
from edgekit.cli import main
from edgekit.errors import BundleError, RuntimeFailedError, UsageError
from tests.integration.agent_models import make_bundle, model_bytes

pytestmark = pytest.mark.integration

SHORT = Setting(effort=Effort(warmup_runs=5, num_runs=70, min_secs=0.0), starts=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles"), "1.0").path


def test_a_bundle_is_measured_step_by_step(bundle):
    report = bench_path(bundle, replace(SHORT, profile=True, sustained_s=0.2, starts=2))
    assert [s.name for s in report.steps] == [
        "preprocessing",
        "inference",
        "postprocessing",
        "total",
    ]
    assert report.inference.count == 70
    assert report.inputs == "golden samples"
    total = report.step("total")
    assert total is not None
    assert total.summary.median > report.inference.median
    assert report.starts["cold start"].count == 2
    parts = ("process", "runtime import", "load", "first inference")
    assert sum(report.starts[p].minimum for p in parts) <= report.starts["cold start"].maximum
    assert report.memory.peak_mb
    assert report.memory.before_mb
    assert report.memory.peak_mb > report.memory.before_mb
    assert {o.kind for o in report.operators} >= {"Gemm"}
    assert len(report.curve) == 1
    assert report.samples is not None
    assert len(report.samples.started_s) == 70


def test_the_times_that_are_kept_are_not_the_models_memory(bundle):
    many = replace(SHORT, effort=Effort(warmup_runs=5, num_runs=200_000, min_secs=0.0))
    few, most = (bench_path(bundle, setting).memory.peak_mb for setting in (SHORT, many))
    assert few is not None
    assert most is not None
    assert most < few + 8  # the times of 200,000 queries are more than that


def test_a_model_file_has_only_an_inference(tmp_path):
    file = tmp_path / "m.onnx"
    file.write_bytes(model_bytes())
    report = bench_path(file, SHORT)
    assert [s.name for s in report.steps] == ["inference"]
    assert report.inputs == "random numbers"


def test_what_is_no_model_is_an_error_as_if_it_were_here(tmp_path):
    broken = tmp_path / "m.onnx"
    broken.write_bytes(b"no model")
    damaged = tmp_path / "m.bundle"
    damaged.write_bytes(b"no bundle")
    with pytest.raises(RuntimeFailedError, match="refuses it"):
        bench_path(broken, SHORT)
    with pytest.raises(BundleError):
        bench_path(damaged, SHORT)
    with pytest.raises(UsageError, match="no such file"):
        bench_path(tmp_path / "none.onnx", SHORT)


def test_a_measuring_process_that_dies_is_an_error_that_says_how(bundle):
    with MeasuringProcess(bundle) as process:
        process._process.kill()
        with pytest.raises(RuntimeFailedError, match="killed by signal 9"):
            process.ask(Request(ask=Ask.BLOCK, runs=5))


def test_the_command_shows_saves_and_draws(bundle, tmp_path, capsys):
    saved, drawn = tmp_path / "r.json", tmp_path / "r.html"
    words = ["bench", str(bundle), "--min-queries", "70", "--min-duration", "0.05s"]
    words += ["--warmup", "3", "--starts", "1", "--threads", "1,2", "--percentile", "90,99"]
    assert main([*words, "--save", str(saved), "--html", str(drawn)]) == 0
    shown = capsys.readouterr().out
    assert "2 thread(s)" in shown
    assert "machine:" in shown
    assert drawn.read_text().startswith("<!doctype html>")
    assert main(["bench", "show", str(saved), "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)["reports"]
    assert [r["threads"] for r in reports] == [1, 2]
    assert reports[0]["samples"] is None


def test_a_percentile_that_was_not_reached_is_not_shown(bundle, capsys):
    words = ["bench", "run", str(bundle), "--num-runs", "64", "--min-secs", "0"]
    assert main([*words, "--warmup-runs", "1", "--starts", "1"]) == 0
    shown = capsys.readouterr().out
    assert "n/a (needs 662)" in shown
    assert "p90 ms" in shown


def test_a_slower_model_is_found_and_fails_a_ci(tmp_path, capsys):
    small = tmp_path / "a.onnx"
    small.write_bytes(model_bytes())
    large = tmp_path / "b.onnx"
    large.write_bytes(model_bytes(turns=500.0))
    words = ["--rounds", "1", "--blocks", "4", "--fail-if-slower", "50%"]
    assert main(["bench", "compare", str(small), str(large), *words]) == 1
    assert "slower" in capsys.readouterr().out
    a = make_bundle(tmp_path, "1.0").path
    assert main(["bench", "compare", str(a), str(a), "--rounds", "1", "--blocks", "4"]) == 0
    assert "of itself" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["x.onnx", "--percentile", "100"],
        ["x.onnx", "--threads", "a"],
        ["x.onnx", "--threads", "0"],
        ["compare", "x", "y", "--fail-if-slower", "slow"],
    ],
    ids=" ".join,
)
def test_words_that_mean_nothing_are_refused(words):
    assert main(["bench", *words]) == 2
