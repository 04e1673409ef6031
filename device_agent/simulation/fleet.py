"""Thousands of simulated devices as asyncio tasks, over a few threads and kept connections."""

from __future__ import annotations

import asyncio
import http.client
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from device_agent.ddi import Ddi
from device_agent.enrolment import ENROL_PATH
from device_agent.identity import Identity
from device_agent.simulation.device import Behaviour, SimulatedDevice
from device_agent.transport import Answer, BusyError, StatusError, Transport, backoff_s
from edgekit import codec
from edgekit.device import DeviceProfile
from edgekit.errors import NetworkError, RefusedError
from edgekit.protocol import EnrolmentFile, EnrolRequest, EnrolResponse

THREADS = 16
PROFILE = DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64", agent_version="0")


class SharedTransport(Transport):
    """The agent's transport, lent to many devices: a connection a thread, a token a device."""

    def __init__(self, server: str, authorization: str, connections: threading.local) -> None:
        super().__init__(server, {"Authorization": authorization, "Accept": "application/json"})
        self._server = server
        self._mine = {"Authorization": authorization}
        self._connections = connections

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request over this thread's connection."""
        sent = {**self._mine, **(headers or {})}
        return self._lent().request(method, url, body=body, headers=sent)

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send one request over this thread's connection and hand out the response."""
        sent = {**self._mine, **(headers or {})}
        with self._lent().stream(method, url, body=body, headers=sent) as response:
            yield response

    def _lent(self) -> Transport:
        held: Transport | None = getattr(self._connections, "transport", None)
        if held is None:
            held = Transport(self._server, {"Accept": "application/json"}, timeout_s=60.0)
            self._connections.transport = held
        return held


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of a simulation.

    Attributes:
        devices: How many were enrolled.
        polls: Turns that began.
        failures: Turns that ended in an error of network or server.
        errors: What kind of error to how many turns: "busy" (429 or 503 with Retry-After), "busy
            without Retry-After", "no answer", or a status.
        ran: Version to devices that ever ran it.
        running: Version to devices that run it at the end.
        left_s: Version to seconds from the start until the last device left it.
        seconds: How long it ran.
        cpu_s: CPU time of this process.
    """

    devices: int = 0
    polls: int = 0
    failures: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    ran: dict[str, int] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    left_s: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_s: float = 0.0


class Fleet:
    """Enrols devices and keeps them going. Make it inside a running event loop.

    Args:
        file: What an operator gives to devices.
        behave: How releases do.
        rng: Spreads the devices in time.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        file: EnrolmentFile,
        behave: Behaviour,
        *,
        rng: random.Random,
        clock: Callable[[], float],
    ) -> None:
        self._file = file
        self._behave = behave
        self._rng = rng
        self._clock = clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="simulated")
        self._connections = threading.local()
        self._started_s = clock()
        self.devices: list[SimulatedDevice] = []
        self.report = Report()

    async def enrol(self, count: int, *, prefix: str = "sim") -> None:
        """Make devices known, as many at once as there are threads.

        Raises:
            RefusedError: The enrolment token is unknown, expired or used up.
        """
        loop = asyncio.get_running_loop()
        names = [f"{prefix}-{number:06d}" for number in range(count)]
        jobs = [loop.run_in_executor(self._pool, self._enrol, name) for name in names]
        self.devices += await asyncio.gather(*jobs)
        self.report.devices = len(self.devices)

    async def run(self, seconds: float, *, stop: asyncio.Event) -> Report:
        """Let every device take its turns for a time, or until `stop`; returns what came of it."""
        tasks = [asyncio.create_task(self._live(device)) for device in self.devices]
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown(wait=True)
        return self._summed()

    async def _live(self, device: SimulatedDevice) -> None:
        """Poll as the server says, each time a tenth earlier or later; back off after errors."""
        loop, failures = asyncio.get_running_loop(), 0
        await asyncio.sleep(self._rng.random())
        while True:
            self.report.polls += 1
            before = {held.version for held in device.running.values()}
            try:
                wait_s = await loop.run_in_executor(self._pool, device.turn)
                failures = 0
            except (NetworkError, RefusedError) as error:
                failures += 1
                self._count(error)
                at_least_s = error.retry_after_s if isinstance(error, BusyError) else 0.0
                wait_s = backoff_s(failures, self._rng, at_least_s=at_least_s)
            for version in before - {held.version for held in device.running.values()}:
                self.report.left_s[version] = self._clock() - self._started_s
            await asyncio.sleep(wait_s * self._rng.uniform(0.9, 1.1))

    def _count(self, error: NetworkError | RefusedError) -> None:
        match error:
            case BusyError():
                kind = "busy" if error.retry_after_s else "busy without Retry-After"
            case StatusError():
                kind = str(error.status)
            case _:
                kind = "no answer"
        self.report.failures += 1
        self.report.errors[kind] = self.report.errors.get(kind, 0) + 1

    def _enrol(self, name: str) -> SimulatedDevice:
        server = self._file.server.rstrip("/")
        request = EnrolRequest(token=self._file.token, device_id=name, profile=PROFILE)
        answer = SharedTransport(server, "", self._connections).request(
            "POST",
            server + ENROL_PATH,
            body=codec.encode(request),
            headers={"Content-Type": "application/json"},
        )
        known = codec.decode(answer.body, EnrolResponse, where=name)
        identity = Identity(server=server, device_id=name, token=known.device_token)
        transport = SharedTransport(server, identity.authorization, self._connections)
        return SimulatedDevice(
            ddi=Ddi(transport, identity),
            behave=self._behave,
            rng=random.Random(name),  # noqa: S311 (spreads latencies, guards nothing)
            clock=self._clock,
            boot_id=f"simulated-{name}"[:64],
        )

    def _summed(self) -> Report:
        self.report.seconds = self._clock() - self._started_s
        self.report.ran = dict(Counter(v for d in self.devices for v in d.ran))
        held = (h.version for d in self.devices for h in d.running.values())
        self.report.running = dict(Counter(held))
        return self.report
