"""Under which conditions was measured: affinity, governor, the machine's state, other load.

Read from /proc and /sys; a fact that the machine does not tell is None or empty, never a guess.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgekit.machine import SYSTEM, Probe, governor, probe, text_of

__all__ = [
    "Condition",
    "Probe",
    "busy_s",
    "condition",
    "memory_mb",
    "peak_memory_mb",
    "probe",
    "throttled_between",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Under which conditions something was measured.

    Attributes:
        affinity: Cores that the measuring process may use.
        governor: Frequency governor; empty where the system does not say.
        frequency_mhz: Lowest and highest seen; None where the system does not say.
        temperature_c: Lowest and highest seen; None where the system does not say.
        throttle_events: Seen while measuring; None where the system does not say.
        other_load: Cores that everything else on the machine kept busy meanwhile, on average.
    """

    affinity: tuple[int, ...]
    governor: str
    frequency_mhz: tuple[float, float] | None
    temperature_c: tuple[float, float] | None
    throttle_events: int | None
    other_load: float | None


def condition(
    probes: tuple[Probe, ...], *, other_load: float | None, system: Path = SYSTEM
) -> Condition:
    """Sum up what was seen while measuring."""
    return Condition(
        affinity=tuple(sorted(os.sched_getaffinity(0))),
        governor=governor(system),
        frequency_mhz=_range([p.frequency_mhz for p in probes]),
        temperature_c=_range([p.temperature_c for p in probes]),
        throttle_events=throttled_between(probes),
        other_load=other_load,
    )


def throttled_between(probes: tuple[Probe, ...]) -> int | None:
    """Return how many throttling events were seen since the first probe; None if not told."""
    counts = [p.throttle_count for p in probes if p.throttle_count is not None]
    now = [p.throttled for p in probes if p.throttled is not None]
    if not counts and not now:
        return None
    return (max(counts) - counts[0] if counts else 0) + sum(now)


def busy_s(system: Path = SYSTEM) -> float | None:
    """Return seconds that all cores together were busy since boot; None if that is not told."""
    fields = text_of(system / "proc/stat").partition("\n")[0].split()
    if len(fields) < 8 or fields[0] != "cpu":
        return None
    user, nice, kernel, _idle, _waiting, hard, soft = map(int, fields[1:8])
    return (user + nice + kernel + hard + soft) / float(os.sysconf("SC_CLK_TCK"))


def peak_memory_mb(system: Path = SYSTEM) -> float | None:
    """Return the most memory that this process ever held, MiB, since it began its program."""
    return _status_mb("VmHWM", system)


def memory_mb(system: Path = SYSTEM) -> float | None:
    """Return the memory that this process holds now, MiB."""
    return _status_mb("VmRSS", system)


def _status_mb(field: str, system: Path) -> float | None:
    for line in text_of(system / "proc/self/status").splitlines():
        key, _, value = line.partition(":")
        if key == field:
            return int(value.split()[0]) / 1024.0
    return None


def _range(values: list[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None
