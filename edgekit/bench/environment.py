"""On what a number was measured: processor, governor, versions, commit.

A fact that cannot be read is an empty string, never a guess.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgekit.runtime.base import installed_version

PACKAGES = (
    "numpy",
    "onnxruntime",
    "ai-edge-litert",
    "tflite-runtime",
    "openvino",
    "msgspec",
    "uvicorn",
)
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The machine and the software of one run.

    Attributes:
        cpu: Model name of the processor.
        cores: Cores that this process may use.
        governor: Frequency governor; empty where the system does not say.
        load: Load average of the last minute when the run began.
        system: Kernel name and release.
        arch: Machine name.
        python: Version of Python.
        packages: Versions of the packages that matter, where installed.
        commit: Commit of the checkout, with "+" for changes; empty without git.
    """

    cpu: str
    cores: int
    governor: str
    load: float
    system: str
    arch: str
    python: str
    packages: dict[str, str]
    commit: str


def record(folder: Path | None = None, packages: Iterable[str] = PACKAGES) -> Environment:
    """Read the environment of this process.

    Args:
        folder: Checkout whose commit is meant; None leaves it out.
        packages: Distributions whose versions matter.
    """
    return Environment(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        governor=_read(_GOVERNOR).strip(),
        load=os.getloadavg()[0],
        system=f"{platform.system()} {platform.release()}",
        arch=platform.machine(),
        python=platform.python_version(),
        packages={name: found for name in packages if (found := installed_version(name))},
        commit=_commit(folder) if folder is not None else "",
    )


def _cpu() -> str:
    for line in _read(_CPUINFO).splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model"}:
            return value.strip()
    return ""


def _commit(folder: Path) -> str:
    head = _git(folder, "rev-parse", "--short=12", "HEAD").strip()
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no").strip()
    return f"{head}+" if head and changed else head


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
