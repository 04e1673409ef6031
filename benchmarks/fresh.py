"""Runs a command in a process of its own and tells what it took. Judges nothing."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOOK_S = 0.02
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What a process took.

    Attributes:
        seconds: From its start to its end.
        cpu_s: Processor seconds of all its threads.
        memory_mb: The most that it held, MiB; of what it starts itself nothing.
        out: Its standard output.
        refused: The last line of its errors where it failed; else empty.
    """

    seconds: float
    cpu_s: float
    memory_mb: float
    out: str
    refused: str


def took(
    words: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
) -> Took:
    """Run a command to its end.

    The peak of memory is read while it runs: `ru_maxrss` of a child begins with that of the
    process that started it.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(words, cwd=cwd, env=env, stdout=out, stderr=errors)
        memory_mb, usage = 0.0, None
        while usage is None:
            memory_mb = max(memory_mb, _peak_mb(process.pid))
            if time.perf_counter() - began > timeout_s:
                process.kill()
            ended, status, found = os.wait4(process.pid, os.WNOHANG)
            if ended:
                process.returncode, usage = os.waitstatus_to_exitcode(status), found
            else:
                time.sleep(_LOOK_S)
        seconds = time.perf_counter() - began
        for stream in (out, errors):
            stream.seek(0)
        lines = errors.read().strip().splitlines() or [f"ended with {process.returncode}"]
        return Took(
            seconds=seconds,
            cpu_s=usage.ru_utime + usage.ru_stime,
            memory_mb=memory_mb,
            out=out.read(),
            refused=lines[-1] if process.returncode else "",
        )


def _peak_mb(pid: int) -> float:
    """Return the peak so far; 0 of a process that has just ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0
