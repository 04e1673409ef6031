"""A fleet that outlives the demo: which processes it has, and how they are stopped later."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

_FILE = "kept.json"


def remember(folder: Path, pids: list[int]) -> None:
    """Write down the processes that go on running."""
    (folder / _FILE).write_text(json.dumps(pids))


def stop_kept(folder: Path) -> int:
    """Ask the processes that an earlier demo left to end; return how many there were.

    A number that another program has by now is left alone: its command line does not name the
    folder.
    """
    try:
        pids: list[int] = json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return 0
    ours = [pid for pid in pids if _belongs_to(pid, folder.resolve())]
    for pid in ours:
        os.kill(pid, signal.SIGTERM)
    (folder / _FILE).unlink()
    return len(ours)


def _belongs_to(pid: int, folder: Path) -> bool:
    try:
        return str(folder) in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
