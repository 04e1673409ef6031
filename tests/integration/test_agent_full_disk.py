"""A disk that is full, or read-only, from any operation of an update on; then there is room again.

The operations fail with the real error number in the real processes (`fs_shim.c`). Meanwhile the
committed model must answer; afterwards the agent must end the deployment and be able to update.
"""

from __future__ import annotations

import errno
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.integration.agent_fleet import QUICK, Device, Fleet, quiet_end, wait_for
from tests.integration.agent_models import BRIGHT, make_bundle
from tests.integration.shims import build_shim

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.needs("cc"),
]
OUTCOMES = {
    ("committed", ""),
    ("unexercised", ""),  # the trial was over before the source had sent enough
    ("failed", "no_room"),
    ("reverted", "no_room"),  # the pointers to the slots could not be written
}
LATE = 1 << 40
"""A number that no operation to fail has: an update may end before the one that was chosen."""
WAITS = """
import sys
import device_agent.agent
device_agent.agent.TROUBLE_WAIT_S = 0.3
from device_agent.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        (tmp_path / "samples").mkdir()
        np.save(tmp_path / "samples" / "0.npy", BRIGHT)
        device.configure(QUICK.format(folder=tmp_path / "samples", rate_hz=20))
        device.enrol()
        offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
        device.start()
        wait_for(lambda: offer.closed)
        device.stop()
        yield device


def broken_from(device: Device, fail_at: int, number: int) -> None:
    """Let the disk fail from one operation on, and be whole again; check what comes of it."""
    fleet, folder = device.fleet, device.folder.parent
    counter, flag = folder / "counter", folder / "flag"
    counter.write_bytes(struct.pack("=Q", 0))
    flag.unlink(missing_ok=True)
    shim = folder / "fs_shim.so"
    device.environment = {
        "LD_PRELOAD": str(shim if shim.exists() else build_shim("fs_shim", folder)),
        "FS_FOLDER": str(device.folder),
        "FS_COUNTER": str(counter),
        "FS_FLAG": str(flag),
        "FS_FAIL_AT": str(fail_at),
        "FS_ERRNO": str(number),
    }
    version = f"2.{number}.{fail_at}"
    offer = fleet.offer(make_bundle(folder / "bundles", version, shift=fail_at / 1000))
    old = device.slots()["active"]
    device.start(WAITS)
    wait_for(lambda: flag.exists() or offer.closed, why=device.log()[-3000:])
    answers = fleet.inferences()
    wait_for(lambda: fleet.running.startswith("digits="), why=device.log()[-3000:])
    with counter.open("r+b") as file:
        file.write(struct.pack("=Q", LATE))
    flag.unlink(missing_ok=True)
    wait_for(lambda: offer.closed, why=f"{fail_at}: " + device.log()[-3000:])
    outcome, reason = offer.outcome
    assert (outcome, reason) in OUTCOMES, (fail_at, offer.closed)
    runs = offer.bundle.sha256 if outcome in {"committed", "unexercised"} else old
    wait_for(lambda: fleet.running == f"digits={runs}", why=f"{fail_at}: {fleet.running}")
    wait_for(lambda: fleet.inferences() > answers, why="it no longer answers")
    assert device.process is not None
    assert device.process.poll() is None, device.log()[-3000:]
    assert device.slots()["active"] == runs
    assert device.stop() == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("fail_at", [5, 40, 110])
def test_a_disk_that_takes_nothing_ends_no_service(
    device: Device, fail_at: int, number: int
) -> None:
    broken_from(device, fail_at, number)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_disk_may_fail_at_every_operation(device: Device, number: int) -> None:
    moments = list(range(1, 260, 3))
    random.Random(number).shuffle(moments)
    for fail_at in moments:
        broken_from(device, fail_at, number)
