"""What the operating system says about this boot: its name, and whether the clock was set."""

from __future__ import annotations

import ctypes
from pathlib import Path

_STA_UNSYNC, _TIME_ERROR = 0x40, 5
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SYNCHRONISED = (Path("/run/systemd/timesync/synchronized"), Path("/run/chrony/chronyd.pid"))


def boot_id() -> str:
    """Return the name of this boot; monotonic times of one boot compare."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def clock_synchronised() -> bool:
    """Say whether something set the clock since the boot: by the kernel, or by NTP's files."""
    return kernel_synchronised() or any(path.exists() for path in _SYNCHRONISED)


class _Timex(ctypes.Structure):
    """The beginning of struct timex, and room for the rest. Source: adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


def kernel_synchronised() -> bool:
    """Say whether the kernel's clock is disciplined: no STA_UNSYNC, no TIME_ERROR. Reads only."""
    told = _Timex()
    try:
        state = int(ctypes.CDLL(None).adjtimex(ctypes.byref(told)))
    except (OSError, AttributeError):
        return False
    return state not in {-1, _TIME_ERROR} and not told.status & _STA_UNSYNC
