"""Processes that a demo left: kept on purpose, or orphans of a demo that was killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edgekit.demo.processes import CommandError, wait_for

_PROGRAMS = frozenset({"edgekit", "edgekit-agent"})


def stop_leftovers(folder: Path, *, within_s: float = 15.0) -> int:
    """End the servers and agents that run on a demo's folder; return how many there were.

    They are asked to end; what still runs after `within_s` is killed. Another program that only
    names the folder, such as an editor, is left alone.
    """
    found = list(_running_on(folder.resolve()))
    _send(found, signal.SIGTERM)
    try:
        wait_for("the end of an earlier demo", lambda: not _left(found, folder), timeout_s=within_s)
    except CommandError:
        _send(_left(found, folder), signal.SIGKILL)
    return len(found)


def _left(pids: list[int], folder: Path) -> list[int]:
    running = set(_running_on(folder.resolve()))
    return [pid for pid in pids if pid in running]


def _send(pids: list[int], what: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


def _running_on(folder: Path) -> Iterator[int]:
    """Yield servers and agents by their command lines; none where there is no /proc."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_text().split("\0")
        except OSError:
            continue
        ours = any(Path(word).name in _PROGRAMS for word in words[:2])
        if ours and any(word.startswith(f"{folder}/") for word in words[2:]):
            yield int(entry.parent.name)
