"""What status, metrics and telemetry say of the machine, read from a folder that stands for /."""

from __future__ import annotations

import os
from pathlib import Path

from device_agent import metrics, report
from device_agent.status import Status
from edgekit.machine import numbers, probe


def of(system: Path) -> Status:
    machine = probe(0.0, system=system)
    return Status(device_id="d", server="s", agent_pid=0, state="idle", machine=machine)


def warm(system: Path) -> Path:
    core = min(os.sched_getaffinity(0))
    files = {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "71250",
        f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq": "1500000",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50004",
    }
    for name, text in files.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(f"{text}\n")
    return system


def test_status_says_how_warm_and_how_fast_the_machine_is(tmp_path: Path) -> None:
    (line,) = [one for one in report.lines(of(warm(tmp_path))) if one.startswith("machine")]
    told = "71.2 °C, 1500 MHz, power mode powersave, throttled now, throttled 3 times since boot"
    assert line == f"machine  {told}"


def test_metrics_show_the_machine(tmp_path: Path) -> None:
    text = metrics.render(of(warm(tmp_path)))
    lines = {line for line in text.splitlines() if line.startswith("edgekit_machine")}
    assert lines == {
        "edgekit_machine_temperature_celsius 71.25",
        "edgekit_machine_frequency_mhz 1500",
        "edgekit_machine_throttled 1",
        "edgekit_machine_throttle_events_total 3",
        'edgekit_machine_power_mode{governor="powersave"} 1',
    }


def test_telemetry_says_only_what_the_machine_tells(tmp_path: Path) -> None:
    assert numbers(probe(0.0, system=tmp_path)) == {}
    told = numbers(probe(0.0, system=warm(tmp_path)))
    assert told == {"temperature_c": 71.25, "frequency_mhz": 1500.0, "throttled": 1.0}


def test_a_machine_that_tells_nothing_gets_no_line(tmp_path: Path) -> None:
    assert not [one for one in report.lines(of(tmp_path)) if one.startswith("machine")]
    assert "edgekit_machine" not in metrics.render(of(tmp_path))
