"""A server whose date is set while it runs: an hour on, a day back, to 1970, by a year.

The server, its sockets and its database are real, PostgreSQL too; its date is moved in the real
process (`clock_shim.c`). Devices are simulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from edgekit import codec
from edgekit.client.wire.accounts import NewToken
from edgekit.client.wire.admission import NewEnrolmentToken
from tests.integration.server_fleet import (
    ONNX,
    Answer,
    Engineer,
    Server,
    SimulatedDevice,
    configured,
    drive,
    everybody,
    now,
    quick,
    until,
)
from tests.integration.shims import Date

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.needs("cc")]

HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
TO_1970 = datetime.fromtimestamp(0, now().tzinfo) - now()
MUST_NOT_FAIL = {"mode": "must_not_fail"}


@dataclass
class Scene:
    """A server whose date the test sets, with a device for each of two models."""

    server: Server
    date: Date
    engineer: Engineer
    devices: dict[str, SimulatedDevice]

    @property
    def sent(self) -> int:
        return sum(device.seq for device in self.devices.values())

    def turns(self, count: int = 1) -> bool:
        """Let every device take turns."""
        for device in list(self.devices.values()) * count:
            device.turn()
        return True

    def set_date(self, off: timedelta) -> None:
        """Set the date, and wait until the server has looked at it."""
        before = self.ahead_s()
        self.date.set_off(off)
        until(lambda: abs(self.ahead_s() - before) > 60 or self.followed())

    def ask(self, path: str, token: str = "") -> Answer:
        headers = {"Authorization": f"Bearer {token or self.server.token}"}
        return self.server.ask("GET", f"/api/v1/{path}", headers=headers)

    def metrics(self) -> list[str]:
        headers = {"Authorization": f"Bearer {self.server.token}"}
        return self.server.ask("GET", "/metrics", headers=headers).body.decode().splitlines()

    def ahead_s(self) -> float:
        (line,) = (x for x in self.metrics() if x.startswith("edgekit_clock_ahead_seconds "))
        return float(line.split()[1])

    def followed(self) -> list[str]:
        answer = self.ask("events?limit=1000")
        return [e["text"] for e in answer.json if e["kind"] == "clock_stepped"]

    def token(self, life_s: float) -> str:
        with self.server.client() as client:
            return client.create_token(
                NewToken(account="admin", role="viewer", life_s=life_s)
            ).token

    def begin_slow(self) -> str:
        """Start a rollout that bakes for half an hour and has all its evidence but that time."""
        stages = [quick(devices=1, bake_s=1800, timeout_s=7200), quick(percent=100)]
        slow = self.engineer.roll_out(
            "1.0.0", model="slow", selector="for=slow", stages=stages, gate=MUST_NOT_FAIL
        )
        until(lambda: self.turns() and self.devices["slow"].running)
        self.turns(5)
        return slow.id

    def finish(self, version: str) -> None:
        """Roll out a release of the quick model: decided by the scheduler, on new windows."""
        policy = everybody(bake_s=1)
        rollout = self.engineer.roll_out(version, model="quick", selector="for=quick", **policy)
        devices = list(self.devices.values())
        assert drive(self.server, devices, rollout.id).phase == "finished"

    def stages(self, rollout: str) -> tuple[str, list[str]]:
        """Return the phase of a rollout, and what happened to its stages."""
        with self.server.client() as client:
            view = client.rollout(rollout)
        return view.phase, [h.kind for h in view.happenings if h.kind != "stage_judged"]

    def windows(self) -> int:
        """Return how many single windows the server holds."""
        with self.server.client() as client:
            return sum(t.windows for name in self.devices for t in client.telemetry(name))


STARTED = ["rollout_started", "stage_started"]


@contextmanager
def scene(data: Path, folder: Path, settings: str) -> Iterator[Scene]:
    """Run a server; whatever its date did, no answer was a 500 and the audit log is in order."""
    server, date = Server(data), Date(folder)
    server.environment = date.environment
    with (data / "server.toml").open("a") as file:
        file.write(f"least_interval_s = 0.5\n{settings}")
    server.init()
    server.start(poll_interval=0.5, tick=0.1)
    try:
        engineer = Engineer.create(server, folder / "engineer", "slow", "quick")
        engineer.publish("1.0.0", model="slow")
        for number in range(1, 5):
            engineer.publish(f"{number}.0.0", model="quick")
        devices = {
            name: SimulatedDevice.enrol(server, name, labels={"for": name})
            for name in ("slow", "quick")
        }
        scene = Scene(server, date, engineer, devices)
        yield scene
        assert [line for line in scene.metrics() if 'status="500"' in line] == []
        assert "Traceback" not in server.log()
    finally:
        server.stop()


def test_a_date_that_is_not_followed_moves_nothing(tmp_path: Path) -> None:
    with scene(configured(tmp_path / "data"), tmp_path, "") as fleet:
        slow = fleet.begin_slow()
        short, long = fleet.token(1.0), fleet.token(1800.0)
        until(lambda: fleet.ask("releases", short).status == 401)
        for number, off in enumerate((HOUR, -DAY / 2, TO_1970, YEAR), start=1):
            fleet.set_date(off)
            fleet.finish(f"{number}.0.0")
            assert fleet.stages(slow) == ("running", STARTED), off
            assert fleet.ask("releases", short).status == 401, "no life after its end"
            assert fleet.ask("releases", long).status == 200, off
        assert fleet.windows() == fleet.sent, "each window once, whatever the date"
        assert fleet.followed() == []
        lines = fleet.ask("audit?limit=1000").json
        times = [line["at"] for line in lines]
        assert times == sorted(times)
        fleet.date.set_off(timedelta())
        until(lambda: abs(fleet.ahead_s()) < 5)


@pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=pytest.mark.soak), "postgresql"])
def test_a_date_that_stands_is_followed_and_stages_begin_anew(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else ""
    data = configured(tmp_path / "data", database=url)
    with scene(data, tmp_path, "clock_settle_s = 1\n") as fleet:
        slow = fleet.begin_slow()
        fleet.finish("1.0.0")
        day = fleet.token(DAY.total_seconds())
        with fleet.server.client() as client:
            enrolment = client.create_enrolment_token(NewEnrolmentToken(life_s=DAY.total_seconds()))
        anew = list(STARTED)
        for number, off in enumerate((HOUR, HOUR + YEAR, timedelta()), start=2):
            windows = fleet.windows()
            fleet.date.set_off(off)
            until(lambda number=number: len(fleet.followed()) == number - 1)  # type: ignore[misc]
            anew.append("stage_started")
            until(lambda: fleet.turns() and fleet.stages(slow) == ("running", anew))
            fleet.finish(f"{number}.0.0")
            assert fleet.stages(slow) == ("running", anew), "half an hour of its own each time"
            assert fleet.windows() >= windows, "nothing is forgotten because of a date"
            assert fleet.ask("releases", day).status == (200 if off == HOUR else 401)
        assert fleet.windows() == fleet.sent
        refused = fleet.server.ask("POST", "/api/v1/enrol", body=enrolling(enrolment.token))
        assert refused.status == 401, "what ended while the date was ahead stays ended"
        days = fleet.ask("trust").json["days_left"]
        assert days["timestamp"] <= 2, "signed again by the right date"
        fleet.engineer.publish("5.0.0", model="quick")
        fleet.finish("5.0.0")


def enrolling(token: str) -> bytes:
    return codec.encode({"token": token, "device_id": "late", "profile": ONNX})


def test_a_board_that_starts_in_1970_goes_on_from_what_it_stored(tmp_path: Path) -> None:
    with scene(configured(tmp_path / "data"), tmp_path, "") as fleet:
        slow = fleet.begin_slow()
        fleet.server.stop()
        fleet.date.set_off(TO_1970)
        fleet.server.start(poll_interval=0.5, tick=0.1)
        fleet.finish("1.0.0")
        assert fleet.ahead_s() < -YEAR.total_seconds()
        fleet.date.set_off(timedelta())
        until(lambda: abs(fleet.ahead_s()) < 5)
        fleet.finish("2.0.0")
        assert fleet.stages(slow) == ("running", STARTED)
        assert fleet.windows() == fleet.sent
        assert fleet.followed() == [], "it was away for seconds"
