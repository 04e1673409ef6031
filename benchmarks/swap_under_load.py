"""How long is a device silent when its model changes under load, and how many answers are lost?

Ours: a rollout to a real agent while clients ask all the time; the new model loads, recomputes its
golden samples and is tried in a process of its own before and while it serves. Baseline: the bare
server (`bare_server`) gets the new file and is restarted, which is what copying and restarting
does at best: no check, no way back. The silence is the longest time between two answers; the 99th
percentile of the latency while it changes stands beside that of the second before.
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
PAUSE_S = 0.005
AROUND_S = 1.0
OURS, BARE = "agent: checked, tried, handed over", "bare server: copied and restarted"


@dataclass(slots=True)
class Load:
    """Clients that ask all the time, each on a connection that it keeps while it may.

    Attributes:
        netloc: Whom.
        times: When answers came, monotonic seconds.
        latencies_ms: How long each of them took.
        change: When the change began and ended, monotonic seconds.
        lost: Requests that got no answer.
    """

    netloc: str
    times: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    change: tuple[float, float] = (0.0, 0.0)
    lost: int = 0
    _done: threading.Event = field(default_factory=threading.Event)
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; then the numbers stay."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def silence_ms(self) -> float:
        """Return the longest time between two answers."""
        return float(np.diff(np.sort(self.times)).max()) * 1e3

    def p99_ms(self) -> tuple[float, float]:
        """Return the 99th percentile of the latency before the change, and during it.

        Where nothing is answered during the change, the silence stands for the latency.
        """
        times, latencies_ms = np.asarray(self.times), np.asarray(self.latencies_ms)
        began, ended = self.change
        before, during = times < began, (times >= began) & (times <= ended)
        steady = float(np.percentile(latencies_ms[before], 99))
        if not during.any():
            return steady, self.silence_ms()
        return steady, float(np.percentile(latencies_ms[during], 99))

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self.netloc, timeout=10.0)
        while not self._done.wait(PAUSE_S):
            began = time.monotonic()
            try:
                connection.request("POST", PATH, BODY)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                self.lost += 1
                connection.close()
                continue
            if response.status == http.HTTPStatus.OK:
                self._answered(began, time.monotonic())
            else:
                self.lost += 1
        connection.close()

    def _answered(self, began: float, ended: float) -> None:
        with self._writing:
            self.times.append(ended)
            self.latencies_ms.append((ended - began) * 1e3)


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
        condition=f"{CLIENTS} clients",
        summary=summarize(silences, unit="ms"),
        numbers={
            "lost_answers": float(sum(load.lost for load in loads)),
            "answers": float(sum(len(load.times) for load in loads)),
            "steady_p99_ms": before,
            "change_p99_ms": during,
            "p99_times": during / before,
        },
        samples=tuple(silences),
    )
