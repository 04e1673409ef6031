"""The README is run as it stands, in an empty folder: every block of shell, every file it names."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.demo.processes import free_port

pytestmark = [pytest.mark.integration, pytest.mark.slow]

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\S+\.(?:py|yaml|toml))\n")
HEAD = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
WAIT = """
until python -c 'from urllib.request import urlopen; urlopen("{url}/api/v1/health")'
do sleep 0.2; done
"""


def script_and_files(text: str) -> tuple[str, dict[str, str]]:
    """Return the shell blocks as one script, and the files that other blocks are."""
    lines, files = [], {}
    for kind, block in BLOCK.findall(text):
        if kind == "sh":
            lines.append(block)
        elif named := NAMED.match(block):
            files[named[1]] = block
    return "\n".join(lines), files


def test_every_command_of_the_readme_works_as_it_stands(tmp_path):
    port = str(free_port())
    script, files = script_and_files(README.read_text().replace("8080", port))
    assert {"net.py", "rollout.yaml"} <= set(files)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    # People read on while a server starts; a script has to be told to wait.
    wait = WAIT.format(url=f"http://127.0.0.1:{port}")
    script = re.sub(r"(^edgekit server run .*&\n)", rf"\1{wait}", script, flags=re.MULTILINE)
    (tmp_path / "readme.sh").write_text(f"{HEAD}{script}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    assert shutil.which("edgekit", path=path)
    status, said = run_to_the_end(tmp_path, {**os.environ, "PATH": path})
    assert status == 0, said
    assert "gate-1" in said


def run_to_the_end(folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run the script in a session of its own, which ends with it."""
    log = folder / "readme.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["bash", "-x", "readme.sh"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=240)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it left nobody behind
                os.killpg(process.pid, signal.SIGKILL)
    return status, log.read_text()
