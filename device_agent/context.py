"""What a step of the update may use, in one place. Decides nothing."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from device_agent.config import Config, Layout
from device_agent.ddi import Ddi
from device_agent.identity import Identity
from device_agent.slots import SlotStore
from device_agent.supervisor import Supervisor
from device_agent.transport import BusyError, backoff_s
from edgekit.device import DeviceProfile
from edgekit.errors import EdgeKitError
from edgekit.jobs import ParametersAnswer
from edgekit.trust.process import Request
from edgekit.trust.targets import TargetInfo


class Stopped(Exception):  # noqa: N818 (an order, not an error)
    """Somebody told the agent to end; what was begun goes on after the next start."""


@dataclass(slots=True)
class Contact:
    """What is known about the server. Written by the agent's loop only.

    Attributes:
        telemetry_url: Where windows are taken; empty before the first poll.
        trust_url: Folder of the metadata.
        sleep_s: When the server wants the next poll.
        failures: Failed contacts in a row.
        error: The last failure; empty after a success.
        profile_sent: Whether this process has reported its profile.
        next_poll_s: Monotonic time of the next poll.
        parameters_url: Whose parameters the workers have; empty before they were fetched.
        parameters_told: What the server knows about them.
    """

    trust_url: str
    telemetry_url: str = ""
    sleep_s: float = 300.0
    failures: int = 0
    error: str = ""
    profile_sent: bool = False
    next_poll_s: float = 0.0
    parameters_url: str = ""
    parameters_told: tuple[ParametersAnswer, ...] = ()


@dataclass(slots=True)
class Context:
    """Collaborators of the steps.

    Attributes:
        config: Settings.
        layout: Of the agent's folder.
        identity: Who the device is.
        ddi: Speaks to the server.
        slots: Bundles of every model.
        supervisor: Workers.
        profile: What the device can run.
        boot_id: Name of this boot.
        trust: Verifies in another process.
        stopping: Set when the agent shall end.
        clock: Monotonic, seconds.
        now: Time of the system clock, UTC.
        rng: For jitter.
        contact: What is known about the server.
        alive: Called while waiting, at least every second.
        measure: Called with the address of a benchmark job while nothing else is to be done.
        stop_measuring: Called when something else is.
        diagnose: Called with the address where a diagnose bundle is wanted.
        authorize: Called with another value of the Authorization header, for every transport.
    """

    config: Config
    layout: Layout
    identity: Identity
    ddi: Ddi
    slots: SlotStore
    supervisor: Supervisor
    profile: DeviceProfile
    boot_id: str
    trust: Callable[[Request], TargetInfo]
    stopping: threading.Event
    clock: Callable[[], float]
    now: Callable[[], datetime]
    rng: random.Random
    contact: Contact
    alive: Callable[[], None] = field(default=lambda: None)
    measure: Callable[[str], None] = field(default=lambda url: None)  # noqa: ARG005 (signature)
    stop_measuring: Callable[[], None] = field(default=lambda: None)
    diagnose: Callable[[str], None] = field(default=lambda url: None)  # noqa: ARG005 (signature)
    authorize: Callable[[str], None] = field(default=lambda value: None)  # noqa: ARG005 (signature)

    def wait(self, seconds: float) -> None:
        """Wait, saying that the loop is alive.

        Raises:
            Stopped: The agent shall end.
        """
        deadline = self.clock() + seconds
        while True:
            self.alive()
            left = deadline - self.clock()
            if self.stopping.wait(min(1.0, max(0.0, left))):
                raise Stopped
            if left <= 0:
                return

    def reached(self) -> None:
        """Note that the server answered."""
        self.contact.failures, self.contact.error = 0, ""

    def missed(self, error: EdgeKitError) -> float:
        """Note that it did not; return how long to leave it alone, seconds."""
        self.contact.failures += 1
        self.contact.error = str(error)
        asked_s = error.retry_after_s if isinstance(error, BusyError) else 0.0
        return backoff_s(self.contact.failures, self.rng, at_least_s=asked_s)

    def poll_interval_s(self) -> float:
        """Return the time to the next poll, spread by 10 % so that a fleet does not march."""
        wanted = self.config.poll_interval_s or self.contact.sleep_s
        return wanted * (0.9 + self.rng.random() / 5)

    def part(self, digest: str) -> Path:
        """Return where the bytes of a bundle gather."""
        return self.layout.downloads / f"{digest}.part"
