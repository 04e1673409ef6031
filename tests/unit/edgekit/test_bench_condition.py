from __future__ import annotations

import os
from pathlib import Path

from edgekit.bench.condition import (
    Probe,
    busy_s,
    condition,
    memory_mb,
    peak_memory_mb,
    probe,
    throttled_between,
)


def put(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def board(root: Path, *, mhz: int = 1800, milli_c: int = 61_500, throttled: str = "0x0") -> Path:
    core = min(os.sched_getaffinity(0))
    put(root, f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", f"{mhz * 1000}\n")
    put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    put(root, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    put(root, "sys/class/thermal/thermal_zone0/temp", f"{milli_c}\n")
    put(root, "sys/class/thermal/thermal_zone1/type", "battery\n")
    put(root, "sys/class/thermal/thermal_zone1/temp", "99000\n")
    put(root, "sys/devices/platform/soc/soc:firmware/get_throttled", throttled)
    return root


def test_a_board_says_how_fast_and_how_hot_its_processor_is(tmp_path):
    seen = probe(2.0, system=board(tmp_path))
    assert seen == Probe(
        at_s=2.0, frequency_mhz=1800.0, temperature_c=61.5, throttled=False, governor="ondemand"
    )


def test_what_a_machine_does_not_tell_is_unknown(tmp_path):
    assert probe(0.0, system=tmp_path) == Probe(at_s=0.0)
    found = condition((probe(0.0, system=tmp_path),), other_load=None, system=tmp_path)
    assert (found.governor, found.frequency_mhz, found.throttle_events) == ("", None, None)
    assert (busy_s(tmp_path), peak_memory_mb(tmp_path)) == (None, None)


def test_the_condition_is_the_range_of_what_was_seen(tmp_path):
    first = probe(0.0, system=board(tmp_path))
    second = probe(1.0, system=board(tmp_path, mhz=1500, milli_c=80_000))
    found = condition((first, second), other_load=0.5, system=tmp_path)
    assert found.governor == "ondemand"
    assert found.frequency_mhz == (1500.0, 1800.0)
    assert found.temperature_c == (61.5, 80.0)


def test_throttling_is_what_a_raspberry_pi_says_now(tmp_path):
    past = probe(0.0, system=board(tmp_path, throttled="0x50000"))
    now = probe(1.0, system=board(tmp_path, throttled="0x50005"))
    assert throttled_between((past,)) == 0
    assert throttled_between((past, now)) == 1


def test_throttling_is_what_an_intel_processor_counts_meanwhile(tmp_path):
    name = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    put(tmp_path, name, "40")
    before = probe(0.0, system=tmp_path)
    put(tmp_path, name, "43")
    assert throttled_between((before, probe(1.0, system=tmp_path))) == 3
    assert throttled_between((before, before)) == 0


def test_this_machine_knows_its_memory_and_its_work():
    now, peak, busy = memory_mb(), peak_memory_mb(), busy_s()
    assert now is not None
    assert peak is not None
    assert busy is not None
    assert 1.0 < now <= peak
    assert busy > 0.0
