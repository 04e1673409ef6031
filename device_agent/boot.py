"""What the operating system says about this boot: its name, and whether the clock was set."""

from __future__ import annotations

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SYNCHRONISED = (Path("/run/systemd/timesync/synchronized"), Path("/run/chrony/chronyd.pid"))


def boot_id() -> str:
    """Return the name of this boot; monotonic times of one boot compare."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def clock_synchronised() -> bool:
    """Say whether systemd-timesyncd or chrony looks after the clock."""
    return any(path.exists() for path in _SYNCHRONISED)
