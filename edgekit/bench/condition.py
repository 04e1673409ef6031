"""How the machine is: affinity, governor, frequency, temperature, throttling, other load.

Read from /proc and /sys; a fact that the machine does not tell is None or empty, never a guess.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/")
_CPUS = "sys/devices/system/cpu"
_ZONES = "sys/class/thermal"
_PI_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
_PI_NOW = 0xF
"""Bits of the Raspberry Pi's word that hold now: under-voltage, capped, throttled, too hot."""
_CPU_ZONES = ("cpu", "pkg", "soc", "core")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the machine says at one moment.

    Attributes:
        at_s: Since the measurement began, seconds.
        frequency_mhz: Highest current frequency of the cores in use.
        temperature_c: Of the processor, degrees Celsius.
        throttle_count: Throttling events since boot, over all cores.
        throttled: Whether it is throttled right now, where the firmware says so (Raspberry Pi).
    """

    at_s: float
    frequency_mhz: float | None = None
    temperature_c: float | None = None
    throttle_count: int | None = None
    throttled: bool | None = None


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


def probe(at_s: float, *, system: Path = SYSTEM) -> Probe:
    """Read the machine's state now; a few small files."""
    return Probe(
        at_s=at_s,
        frequency_mhz=_frequency_mhz(system),
        temperature_c=_temperature_c(system),
        throttle_count=_throttle_count(system),
        throttled=_throttled(system),
    )


def condition(
    probes: tuple[Probe, ...], *, other_load: float | None, system: Path = SYSTEM
) -> Condition:
    """Sum up what was seen while measuring."""
    return Condition(
        affinity=tuple(sorted(os.sched_getaffinity(0))),
        governor=_text(system / _CPUS / "cpu0/cpufreq/scaling_governor"),
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
    fields = _text(system / "proc/stat").partition("\n")[0].split()
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
    for line in _text(system / "proc/self/status").splitlines():
        key, _, value = line.partition(":")
        if key == field:
            return int(value.split()[0]) / 1024.0
    return None


def _frequency_mhz(system: Path) -> float | None:
    found = [
        value / 1000.0
        for core in os.sched_getaffinity(0)
        if (value := _number(system / _CPUS / f"cpu{core}/cpufreq/scaling_cur_freq")) is not None
    ]
    return max(found, default=None)


def _temperature_c(system: Path) -> float | None:
    zones = {zone: _text(zone / "type").lower() for zone in _zones(system)}
    of_cpu = [zone for zone, kind in zones.items() if any(word in kind for word in _CPU_ZONES)]
    values = [_number(zone / "temp") for zone in of_cpu or zones]
    return max((v / 1000.0 for v in values if v is not None), default=None)


def _zones(system: Path) -> Iterator[Path]:
    return (system / _ZONES).glob("thermal_zone*")


def _throttled(system: Path) -> bool | None:
    try:
        return bool(int(_text(system / _PI_THROTTLED), 16) & _PI_NOW)
    except ValueError:
        return None


def _throttle_count(system: Path) -> int | None:
    counts = (system / _CPUS).glob("cpu*/thermal_throttle/*_throttle_count")
    values = [value for path in counts if (value := _number(path)) is not None]
    return int(sum(values)) if values else None


def _range(values: list[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
