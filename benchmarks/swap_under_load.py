"""How long is a device silent when its model changes under load, and how many answers are lost?

Ours: a rollout to a real agent that is asked 200 times a second; the new model loads, recomputes
its golden samples and is tried in a process of its own before and while it serves. Baseline: the
bare server (`bare_server`) gets the new file and is restarted: what copying and restarting does
at best, without a check or a way back. Requests go out by a timetable, whether those before were
answered or not, and a latency counts from the time that the timetable says, so that a server that
stalls cannot slow down the questions that would show it. The silence is the longest time between
two answers; the 99th percentile of the latency while it changes stands beside that of before.
"""

from __future__ import annotations

import http.client
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.one_device import (
    BODY,
    PATH,
    OneDevice,
    bare_server,
    model_of,
    one_device,
    until_it_answers,
)
from edgekit.bench import Result, ratio, summarize
from edgekit.demo.processes import free_port, wait_for

QUESTION = "longest silence while the model changes under load"
CHANNELS = 64
CLIENTS = 4
RATE_HZ = 200.0
AROUND_S = 1.0
OURS, BARE = "agent: checked, tried, handed over", "bare server: copied and restarted"


@dataclass(slots=True)
class Load:
    """Clients that ask by one timetable, in turns, each on a connection that it keeps while it may.

    Attributes:
        netloc: Whom.
        rate_hz: Requests a second of all clients together.
        clients: How many there are; a client that is late sends what is due at once.
        due: When each request that was answered had been due, monotonic seconds.
        latencies_ms: How long after that its answer came.
        change: When the change began and ended, monotonic seconds.
        lost: Requests that got no answer.
    """

    netloc: str
    rate_hz: float = RATE_HZ
    clients: int = CLIENTS
    due: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    change: tuple[float, float] = (0.0, 0.0)
    lost: int = 0
    _done: threading.Event = field(default_factory=threading.Event)
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        began = time.monotonic()
        self._threads = [
            threading.Thread(target=self._ask, args=(began + index / self.rate_hz,))
            for index in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; then the numbers stay."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def asked_hz(self) -> float:
        """Return how many requests a second really went out, answered or lost."""
        return (len(self.due) + self.lost) / (max(self.due) - min(self.due))

    def silence_ms(self) -> float:
        """Return the longest time between two answers."""
        came = np.asarray(self.due) + np.asarray(self.latencies_ms) / 1e3
        return float(np.diff(np.sort(came)).max()) * 1e3

    def p99_ms(self) -> tuple[float, float]:
        """Return the 99th percentile of the latency of what was due before and during the change.

        Where nothing is answered during the change, the silence stands for the latency.
        """
        due, latencies_ms = np.asarray(self.due), np.asarray(self.latencies_ms)
        began, ended = self.change
        before, during = due < began, (due >= began) & (due <= ended)
        steady = float(np.percentile(latencies_ms[before], 99))
        if not during.any():
            return steady, self.silence_ms()
        return steady, float(np.percentile(latencies_ms[during], 99))

    def _ask(self, due: float) -> None:
        connection = http.client.HTTPConnection(self.netloc, timeout=10.0)
        while not self._done.wait(max(0.0, due - time.monotonic())):
            answered = _is_answered(connection)
            with self._writing:
                if answered:
                    self.due.append(due)
                    self.latencies_ms.append((time.monotonic() - due) * 1e3)
                else:
                    self.lost += 1
            due += self.clients / self.rate_hz
        connection.close()


def _is_answered(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("POST", PATH, BODY)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return False
    return response.status == http.HTTPStatus.OK


def run(short: bool) -> list[Result]:
    """Change the model some times; the short form takes about forty seconds."""
    changes = 5 if short else 20
    with (
        tempfile.TemporaryDirectory() as folder,
        one_device(Path(folder), channels=CHANNELS) as device,
    ):
        ours = [_roll_out(device, str(2 + index)) for index in range(changes)]
        bare = _restarts(device, changes)
    baseline = _result(BARE, bare)
    over = ratio(
        [load.silence_ms() for load in ours],
        [load.silence_ms() for load in bare],
        rng=np.random.default_rng(6),
    )
    return [baseline, replace(_result(OURS, ours), ratio=over)]


def _roll_out(device: OneDevice, version: str) -> Load:
    device.publish(version, channels=CHANNELS)

    def change() -> None:
        device.roll_out(version)
        wait_for(f"version {version} runs", lambda: device.version() == version, timeout_s=60)

    return _under_load(device.address(), change)


def _restarts(device: OneDevice, changes: int) -> list[Load]:
    port, log = free_port(), device.folder / "bare.log"
    netloc = f"127.0.0.1:{port}"
    model = model_of(device, "1")
    server = bare_server(model, port, log=log)
    server.start()
    until_it_answers(netloc)

    def change() -> None:
        model.write_bytes(model_of(device, "2").read_bytes())
        server.stop()
        server.start()
        until_it_answers(netloc)

    try:
        return [_under_load(netloc, change) for _ in range(changes)]
    finally:
        server.stop()


def _under_load(netloc: str, change: Callable[[], None]) -> Load:
    load = Load(netloc)
    load.start()
    try:
        time.sleep(AROUND_S)
        began = time.monotonic()
        change()
        load.change = (began, time.monotonic())
        time.sleep(AROUND_S)
    finally:
        load.stop()
    return load


def _result(name: str, loads: list[Load]) -> Result:
    silences = [load.silence_ms() for load in loads]
    before, during = (
        float(np.median(p99)) for p99 in zip(*(a.p99_ms() for a in loads), strict=True)
    )
    return Result(
        question=QUESTION,
        candidate=name,
        condition=f"{RATE_HZ:.0f} requests a second",
        summary=summarize(silences, unit="ms"),
        numbers={
            "lost_answers": float(sum(load.lost for load in loads)),
            "answers": float(sum(len(load.due) for load in loads)),
            "asked_hz": float(np.median([load.asked_hz() for load in loads])),
            "steady_p99_ms": before,
            "change_p99_ms": during,
            "p99_times": during / before,
        },
        samples=tuple(silences),
    )
