"""What this machine can run, read from the machine.

Looking for runtimes imports NumPy, so the agent asks in another process: `detect_apart`. Run as
`python -m device_agent.profile` it prints the profile of an unrestricted device as JSON.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import edgekit
from device_agent.config import Layout
from edgekit import codec
from edgekit.device import DeviceProfile
from edgekit.durable import write_durably
from edgekit.errors import FormatError, RuntimeFailedError, StorageError, UsageError
from edgekit.shadow import FEATURE as SHADOW

# Flag in /proc/cpuinfo (x86 "flags", ARM "Features") -> the name that variants ask for.
_INSTRUCTION_SETS = {
    "avx2": "avx2",
    "avx512_vnni": "vnni",
    "avx_vnni": "vnni",
    "asimddp": "dotprod",
    "asimd": "neon",
}


def instruction_sets(cpuinfo: str) -> tuple[str, ...]:
    """Return the extensions that matter to int8, from the text of /proc/cpuinfo."""
    flags: set[str] = set()
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in {"flags", "features"}:
            flags |= set(value.split())
    return tuple(sorted({_INSTRUCTION_SETS[f] for f in flags & set(_INSTRUCTION_SETS)}))


def detect() -> DeviceProfile:
    """Return the profile of this machine with every runtime that works; imports NumPy."""
    from edgekit.runtime import available_runtimes

    page_bytes, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    return DeviceProfile(
        runtimes=available_runtimes(),
        arch=platform.machine(),
        instruction_sets=instruction_sets(_cpuinfo()),
        memory_mb=page_bytes * pages >> 20,
        cpu_count=os.cpu_count() or 1,
        agent_version=edgekit.__version__,
        features=(SHADOW,),
    )


def detect_apart(only: Sequence[str] = ()) -> DeviceProfile:
    """Return the profile, found by another process.

    Args:
        only: Runtimes that the agent may use; empty for all.

    Raises:
        UsageError: None of `only` works here.
        RuntimeFailedError: The other process failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "device_agent.profile"],
        capture_output=True,
        check=False,
        timeout=120,
    )
    try:
        profile = codec.decode(done.stdout, DeviceProfile, where="profile")
    except FormatError as error:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise RuntimeFailedError(
            f"cannot find out what runs here: {lines[-1] if lines else 'no answer'}"
        ) from error
    return restricted(profile, only)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    """A profile with what it was found under."""

    under: str
    profile: DeviceProfile


def profile_of(layout: Layout, only: Sequence[str] = ()) -> DeviceProfile:
    """Return the profile, as remembered while nothing was installed and the machine is the same.

    Looking takes as long as loading a model. Raises as `detect_apart` does.
    """
    under = _circumstances()
    try:
        data = layout.profile.read_bytes()
        remembered = codec.decode(data, _Remembered, where=str(layout.profile))
    except (OSError, FormatError):
        remembered = None
    if remembered is not None and remembered.under == under:
        return restricted(remembered.profile, only)
    profile = detect_apart()
    with contextlib.suppress(StorageError):
        write_durably(layout.profile, codec.encode(_Remembered(under=under, profile=profile)))
    return restricted(profile, only)


def _circumstances() -> str:
    """Return what a profile depends on: the CPU, memory, and every folder with packages."""
    folders = []
    for name in sys.path:
        with contextlib.suppress(OSError):
            folders.append(f"{name}={Path(name or '.').stat().st_mtime_ns}")
    return " ".join(
        [
            edgekit.__version__,
            sys.version,
            platform.machine(),
            *instruction_sets(_cpuinfo()),
            str(os.sysconf("SC_PHYS_PAGES")),
            str(os.cpu_count()),
            *folders,
        ]
    )


def restricted(profile: DeviceProfile, only: Sequence[str]) -> DeviceProfile:
    """Return the profile with only some runtimes; an empty `only` keeps all.

    Raises:
        UsageError: None of `only` works here.
    """
    if not only:
        return profile
    runtimes = {name: v for name, v in profile.runtimes.items() if name in only}
    if not runtimes:
        have = ", ".join(sorted(profile.runtimes)) or "none"
        raise UsageError(f"runtimes = {list(only)}: none of them works here, available: {have}")
    return replace(profile, runtimes=runtimes)


def fingerprint(profile: DeviceProfile) -> str:
    """Return what a self-test was valid for: runtimes with versions, CPU and its extensions."""
    runtimes = ",".join(f"{name}={v}" for name, v in sorted(profile.runtimes.items()))
    return f"{profile.arch} {','.join(profile.instruction_sets)} {runtimes}"


def tested_on(layout: Layout) -> str:
    """Return the fingerprint of the last start at which every model answered; empty for none."""
    try:
        return layout.tested_on.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def remember_tested(layout: Layout, text: str) -> None:
    """Keep the fingerprint; without room for it the next start tests once more."""
    if tested_on(layout) != text:
        with contextlib.suppress(StorageError):
            write_durably(layout.tested_on, text.encode())


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.stdout.buffer.write(codec.encode(detect()))
