"""The commands diff and package as people call them: text, JSON, exit codes, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.report import ConversionReport
from edgekit import codec
from edgekit.bundle import open_bundle
from tests.integration.agent_models import make_bundle
from tests.integration.convert_real import speech

pytestmark = pytest.mark.integration


def edgekit(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgekit.cli", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two releases of a model, the second's scores shifted, and a stranger."""
    folder = tmp_path_factory.mktemp("bundles")
    for name, version, kind in (
        ("first", "1.0.0", {}),
        ("second", "1.1.0", {"shift": 0.25}),
        ("stranger", "1.0.0", {"model": "letters"}),
    ):
        make_bundle(folder / "made" / name, version, **kind).path.rename(folder / f"{name}.bundle")
    return folder


def test_diff_shows_what_differs_and_by_how_much_answers_do(bundles: Path):
    done = edgekit("diff", "first.bundle", "second.bundle", cwd=bundles)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert 'version "1.0.0" "1.1.0"' in lines
    assert "answers.0 differ by up to 0.25 on 3 golden" in lines


def test_diff_as_json_is_a_list_of_fields_with_both_values(bundles: Path):
    done = edgekit("diff", "first.bundle", "second.bundle", "--json", cwd=bundles)
    changes: list[dict[str, Any]] = json.loads(done.stdout)
    assert {"field": "version", "before": '"1.0.0"', "after": '"1.1.0"'} in changes
    assert all(change["before"] != change["after"] for change in changes)
    assert "model" not in {change["field"] for change in changes}


@pytest.mark.parametrize(
    ("second", "code"), [("first.bundle", 0), ("second.bundle", 1)], ids=["equal", "different"]
)
def test_diff_ends_with_1_for_a_script_only_if_something_differs(
    bundles: Path, second: str, code: int
):
    done = edgekit("diff", "first.bundle", second, "--exit-code", cwd=bundles)
    assert (done.returncode, done.stderr) == (code, "")
    assert (done.stdout.strip() == "nothing differs") == (code == 0)


def test_diff_of_two_models_is_refused_in_one_line(bundles: Path):
    done = edgekit("diff", "first.bundle", "stranger.bundle", cwd=bundles)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "edgekit: stranger.bundle: of the model letters, first.bundle is of digits; "
        "compare two bundles of one model\n"
    )


def test_diff_names_the_bundle_that_is_damaged(bundles: Path, tmp_path: Path):
    whole = (bundles / "first.bundle").read_bytes()
    (tmp_path / "half.bundle").write_bytes(whole[: len(whole) // 2])
    done = edgekit("diff", bundles / "first.bundle", "half.bundle", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (14, "")
    assert done.stderr.startswith("edgekit: half.bundle: ")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def detector(test_data: Path, tmp_path: Path) -> list[str | Path]:
    """Return the words that package the voice detector with two seconds of speech."""
    arrays: dict[str, Any] = {n: a[:60] for n, a in speech(test_data / "silero_vad").items()}
    np.savez(tmp_path / "speech.npz", **arrays)
    file = test_data / "silero_vad" / "silero_vad_16k_op15.onnx"
    words = ["--evaluation", "speech.npz", "--metric", "parity", "--no-cache"]
    return ["package", file, *words, "--model", "vad", "--version", "1", "--out", "out"]


def test_package_feeds_state_back_and_compares_with_its_reference(
    detector: list[str | Path], tmp_path: Path
):
    words = [*detector, "--state", "state=stateN", "--reference", detector[1], "--json"]
    done = edgekit(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = codec.decode(done.stdout.encode(), ConversionReport, where="report")
    (told,) = report.variants
    assert told.sqnr_db > 100
    assert report.source.name == str(detector[1])
    assert not any("compared with no other model" in note for note in report.notes)
    manifest = open_bundle(tmp_path / "out" / told.bundle).manifest
    assert [spec.name for spec in manifest.inputs] == ["input", "state", "sr"]
    assert manifest.golden.count == 16


@pytest.mark.parametrize(
    ("more", "code", "line"),
    [
        ([], 11, "has no array for the input state"),
        (["--state", "last=stateN"], 2, "--state: last is no input after the first; "),
        (["--state", "state=next"], 2, "--state: next is no output; those are: output, stateN"),
    ],
    ids=["state without --state", "no such input", "no such output"],
)
def test_package_refuses_states_that_do_not_fit_in_one_line(
    detector: list[str | Path], tmp_path: Path, more: list[str], code: int, line: str
):
    done = edgekit(*detector, *more, cwd=tmp_path)
    assert done.returncode == code
    assert line in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_package_refuses_a_reference_that_takes_other_inputs(
    detector: list[str | Path], test_data: Path, tmp_path: Path
):
    other = test_data / "ort_examples" / "mnist.onnx"
    words = [*detector, "--state", "state=stateN", "--reference", other]
    done = edgekit(*words, cwd=tmp_path)
    assert done.returncode == 10
    assert done.stderr.splitlines()[-1].startswith(f"edgekit: {other}: has 1 inputs (Input3)")
    assert not (tmp_path / "out").exists()
