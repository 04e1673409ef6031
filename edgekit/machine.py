"""How the machine is at this moment: frequency, temperature, throttling, power mode.

Read from /sys; a fact that the machine does not tell is None or empty, never a guess. Light: the
agent's process reads it too.
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
        governor: Power mode as Linux names it: the governor of frequency of the first core.
    """

    at_s: float
    frequency_mhz: float | None = None
    temperature_c: float | None = None
    throttle_count: int | None = None
    throttled: bool | None = None
    governor: str = ""


def probe(at_s: float, *, system: Path = SYSTEM) -> Probe:
    """Read the machine's state now; a few small files."""
    return Probe(
        at_s=at_s,
        frequency_mhz=_frequency_mhz(system),
        temperature_c=_temperature_c(system),
        throttle_count=_throttle_count(system),
        throttled=_throttled(system),
        governor=governor(system),
    )


def numbers(probe: Probe) -> dict[str, float]:
    """Return what telemetry says of the machine: known facts by name, `throttled` as 0 or 1."""
    known = {
        "temperature_c": probe.temperature_c,
        "frequency_mhz": probe.frequency_mhz,
        "throttled": probe.throttled,
    }
    return {name: float(value) for name, value in known.items() if value is not None}


def governor(system: Path = SYSTEM) -> str:
    """Return the governor of frequency of the first core; empty where the system does not say."""
    return text_of(system / _CPUS / "cpu0/cpufreq/scaling_governor")


def _frequency_mhz(system: Path) -> float | None:
    found = [
        value / 1000.0
        for core in os.sched_getaffinity(0)
        if (value := _number(system / _CPUS / f"cpu{core}/cpufreq/scaling_cur_freq")) is not None
    ]
    return max(found, default=None)


def _temperature_c(system: Path) -> float | None:
    zones = {zone: text_of(zone / "type").lower() for zone in _zones(system)}
    of_cpu = [zone for zone, kind in zones.items() if any(word in kind for word in _CPU_ZONES)]
    values = [_number(zone / "temp") for zone in of_cpu or zones]
    return max((v / 1000.0 for v in values if v is not None), default=None)


def _zones(system: Path) -> Iterator[Path]:
    return (system / _ZONES).glob("thermal_zone*")


def _throttled(system: Path) -> bool | None:
    try:
        return bool(int(text_of(system / _PI_THROTTLED), 16) & _PI_NOW)
    except ValueError:
        return None


def _throttle_count(system: Path) -> int | None:
    counts = (system / _CPUS).glob("cpu*/thermal_throttle/*_throttle_count")
    values = [value for path in counts if (value := _number(path)) is not None]
    return int(sum(values)) if values else None


def _number(path: Path) -> float | None:
    try:
        return float(text_of(path))
    except ValueError:
        return None


def text_of(path: Path) -> str:
    """Return the text of a small file; empty when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
