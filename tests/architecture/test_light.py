"""What a machine loads is what it needs: measured on the real interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

HEAVY = ("torch", "onnx", "onnxruntime", "fastapi", "sqlalchemy", "scipy", "tuf", "cv2")
PROBE = """
import sys
{statement}
print("LOADED", *(m for m in {heavy!r} if m in sys.modules))
"""


def loaded(statement: str) -> set[str]:
    code = PROBE.format(statement=statement, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=True
    )
    return set(done.stdout.splitlines()[-1].split()) - {"LOADED"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["rollout", "--help"], ["convert", "--help"], ["server", "--help"]],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments):
    statement = f"from edgekit.cli import main; assert main({arguments!r}) == 0"
    assert loaded(statement) == set()


def test_the_agents_command_line_loads_nothing_heavy():
    assert loaded("import device_agent.__main__") == set()


def test_the_trust_package_itself_loads_no_tuf():
    assert loaded("import edgekit.trust") == set()
