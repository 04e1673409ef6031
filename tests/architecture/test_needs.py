"""A part that is absent: skipped at home, a failure in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
TESTS = """
import pytest

@pytest.mark.needs("a-part-that-nobody-has")
def test_absent(): pass

@pytest.mark.needs("sh")
def test_there(): pass

@pytest.mark.needs("sh")
def test_skips_itself(): pytest.skip("no room")

def test_other(): pytest.skip("not a part")
"""


def outcomes(folder: Path, ci: str) -> dict[str, str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = needs(part): a part\n")
    (folder / "test_parts.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:randomly", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "EDGEKIT_CI": ci},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    lines = [
        line.split() for line in done.stdout.splitlines() if line.startswith("test_parts.py::")
    ]
    return {words[0].partition("::")[2]: words[1] for words in lines}


@pytest.mark.parametrize(
    ("ci", "expected"), [("", "SKIPPED"), ("true", "FAILED")], ids=["at home", "in CI"]
)
def test_only_in_ci_an_absent_part_is_a_failure(tmp_path, ci, expected):
    assert outcomes(tmp_path, ci) == {
        "test_absent": expected if expected == "SKIPPED" else "ERROR",
        "test_there": "PASSED",
        "test_skips_itself": expected,
        "test_other": "SKIPPED",
    }
