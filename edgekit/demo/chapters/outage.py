"""Chapter 8: the server is gone for a while; no inference is lost, windows arrive exactly once."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edgekit.demo.fleet import Device
from edgekit.demo.observing import running
from edgekit.demo.outcome import Row
from edgekit.demo.processes import wait_for
from edgekit.demo.scene import Scene

OUTAGE_S = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a device ever recorded, and what of it the server stored.

    Attributes:
        recorded_windows: Windows that the device ever closed.
        recorded_inferences: Inferences in them.
        waiting_windows: Windows that the server has not acknowledged.
        arrived_windows: Windows that the server stored.
        arrived_inferences: Inferences in them.
        last_seq: Highest number among them; numbers begin with 1.
        spools: Spool files that the windows came from.
    """

    recorded_windows: int
    recorded_inferences: int
    waiting_windows: int
    arrived_windows: int
    arrived_inferences: int
    last_seq: int
    spools: int

    @property
    def complete(self) -> bool:
        """Every window that was recorded has arrived."""
        return self.arrived_windows == self.recorded_windows

    @property
    def balanced(self) -> bool:
        """Nothing was lost and nothing counted twice."""
        return (
            self.arrived_inferences == self.recorded_inferences
            and self.last_seq == self.arrived_windows
            and self.spools == 1
        )


def outage(scene: Scene) -> None:
    """Stop the server during inference, start it again, and compare the books."""
    scene.chapter("8  The server is gone for a while")
    devices = list(scene.fleet.devices.values())
    before = sum(_recorded(scene, device)[0] for device in devices)
    scene.fleet.server.stop()
    scene.say(f"server stopped; {OUTAGE_S:.0f} s of inference without it")
    time.sleep(OUTAGE_S)
    recorded = [_recorded(scene, device) for device in devices]
    waiting = [count for _, count in recorded]
    scene.say(f"{sum(waiting)} windows wait on the devices")
    scene.fleet.server.start()
    scene.wait_until_healthy()
    books = [_closed_books(scene, device) for device in devices]
    balanced = sum(book.balanced for book in books)
    scene.note(
        Row(
            chapter="server outage",
            expected="inference goes on; nothing is lost; every window arrives exactly once",
            observed=f"{sum(count for count, _ in recorded) - before} inferences meanwhile, "
            f"{sum(waiting)} windows waited; "
            f"the books of {balanced} of {len(books)} devices balance",
            holds=balanced == len(books)
            and min(waiting) > 0
            and len(running(scene, "1.1.0")) == len(books),
            numbers={
                "inferences recorded by the devices": sum(b.recorded_inferences for b in books),
                "inferences stored by the server": sum(b.arrived_inferences for b in books),
                "windows recorded by the devices": sum(b.recorded_windows for b in books),
                "windows stored by the server": sum(b.arrived_windows for b in books),
            },
        )
    )


def _closed_books(scene: Scene, device: Device) -> Books:
    """Wait for a moment in which everything that was recorded has arrived, and return the books."""

    def complete() -> Books | None:
        books = _books(scene, device)
        return books if books.complete else None

    return wait_for(f"the windows of {device.id} arrive", complete, timeout_s=60)


def _books(scene: Scene, device: Device) -> Books:
    spool = device.status(scene.commands)["spool"]
    totals = scene.client.telemetry(device.id)
    return Books(
        recorded_windows=spool["windows"],
        recorded_inferences=spool["inferences"],
        waiting_windows=spool["waiting"],
        arrived_windows=sum(t.windows for t in totals),
        arrived_inferences=sum(t.inferences for t in totals),
        last_seq=max((t.last_seq for t in totals), default=0),
        spools=len({t.spool_id for t in totals}),
    )


def _recorded(scene: Scene, device: Device) -> tuple[int, int]:
    """Return the inferences ever recorded on a device, and the windows that wait there."""
    spool = device.status(scene.commands)["spool"]
    return int(spool["inferences"]), int(spool["waiting"])
