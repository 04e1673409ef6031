"""Libraries in front of libc for processes under test, built from the C files beside this one."""

from __future__ import annotations

import mmap
import struct
import subprocess
from datetime import timedelta
from pathlib import Path


def build_shim(name: str, folder: Path) -> Path:
    """Compile a shim; returns the shared object."""
    shim = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim, source], check=True
    )
    return shim


def moved_date(by: timedelta, folder: Path) -> dict[str, str]:
    """Return the environment of processes that read another date, and the same other clocks."""
    return {
        "LD_PRELOAD": str(build_shim("clock_shim", folder)),
        "CLOCK_SHIFT_S": str(round(by.total_seconds())),
    }


class Date:
    """The date of processes under test, set while they run; other clocks stay."""

    def __init__(self, folder: Path) -> None:
        file = folder / "date"
        file.write_bytes(bytes(8))
        with file.open("r+b") as handle:
            self._shift = mmap.mmap(handle.fileno(), 8)
        shim = build_shim("clock_shim", folder)
        self.environment = {"LD_PRELOAD": str(shim), "CLOCK_SHIFT_FILE": str(file)}

    def set_off(self, by: timedelta) -> None:
        """Set the date so far from the true one."""
        self._shift[:] = struct.pack("=q", round(by.total_seconds()))
