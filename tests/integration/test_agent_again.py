"""A device whose runtime or CPU changed tests its committed model again before it answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent.boot import clock_synchronised, kernel_synchronised
from tests.integration.agent_fleet import CONFIG, Device, Fleet, quiet_end, wait_for
from tests.integration.agent_models import make_bundle

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    fleet = Fleet(tmp_path / "fleet")
    fleet.start()
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        device.configure(CONFIG.replace("duration_s = 1.0", "duration_s = 0.2"))
        device.enrol()
        yield device
    fleet.stop()


def test_golden_samples_are_recomputed_when_the_machine_is_another_one(
    device: Device, tmp_path: Path
) -> None:
    fleet, remembered = device.fleet, device.folder / "tested-on.json"
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    wait_for(lambda: offer.closed)
    device.stop()
    device.start()
    wait_for(lambda: remembered.exists() and device.model().get("serving"))
    device.stop()
    assert "recomputed" not in device.log()
    remembered.write_text("armv7l neon tflite=2.14.0")
    device.start()
    wait_for(lambda: "recomputed" in device.log())
    wait_for(lambda: device.model().get("serving"))
    wait_for(lambda: "x86_64" in remembered.read_text() or "onnx" in remembered.read_text())


def test_the_kernel_says_whether_its_clock_is_set() -> None:
    assert kernel_synchronised() <= clock_synchronised()
