"""Whose turn it is to schedule: two real processes of which the holder is killed, stopped, cut off.

Both databases are real. Nothing here looks at a clock: a lock ends with its holder, so a process
that is only stopped keeps it, and one whose lock the database took back knows it before it acts.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
import pytest

from tests.integration.postgres import fresh_database, plain
from tests.integration.server_fleet import (
    Engineer,
    Server,
    SimulatedDevice,
    configured,
    drive,
    everybody,
    until,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MODELS = ("killed", "stopped", "replaced")
STAGES = ["rollout_started", "stage_started", "promoted", "finished"]


@dataclass
class Pair:
    """Two processes of one server."""

    one: Server
    two: Server
    engineer: Engineer
    url: str

    def roles(self) -> tuple[Server, Server]:
        """Return the process that schedules, and the other."""
        until(lambda: leads(self.one) != leads(self.two))
        return (self.one, self.two) if leads(self.one) else (self.two, self.one)

    def roll_out(self, server: Server, model: str, version: str = "1.0.0") -> str:
        engineer = Engineer(server, self.engineer.folder, self.engineer.keystore)
        policy = everybody(bake_s=1)
        return engineer.roll_out(version, model=model, selector=f"for={model}", **policy).id

    def cut_off(self) -> None:
        """End the session that holds the lock, as PostgreSQL does with a machine that is gone."""
        with psycopg.connect(plain(self.url), autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchall()
        assert ended == [(True,)]


def device(server: Server, model: str) -> SimulatedDevice:
    """Return the device of a model, as it speaks to one process."""
    found = SimulatedDevice.enrol(server, model, labels={"for": model})
    found.poll()
    return found


def happened(server: Server, rollout: str) -> list[str]:
    """Return what happened to a rollout, but for looks at its gate."""
    with server.client() as client:
        told = [h.kind for h in client.rollout(rollout).happenings]
    return [kind for kind in told if kind != "stage_judged"]


def finishes_once(server: Server, device: SimulatedDevice, rollout: str) -> bool:
    phase = drive(server, [device], rollout).phase
    return (phase, happened(server, rollout)) == ("finished", STAGES)


def leads(server: Server) -> bool:
    """Whether a process said last, since its latest start, that it is its turn."""
    since = server.log().rpartition("server listens")[2]
    said = [line for line in since.splitlines() if "leads=" in line]
    return bool(said) and said[-1].endswith("leads=True")


def takes(device: SimulatedDevice) -> bool:
    """Let a device take turns until it runs something."""
    device.turn()
    return bool(device.running)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("turns")
    with ExitStack() as running:
        url = ""
        if request.param == "postgresql":
            postgres = request.getfixturevalue("postgres_server")
            url = running.enter_context(fresh_database(postgres))
        data = configured(folder / "data", database=url)
        one, two = Server(data), Server(data, log="log-two")
        running.enter_context(one)
        two.start()
        running.callback(two.stop)
        engineer = Engineer.create(one, folder / "engineer", *MODELS)
        for model in MODELS:
            engineer.publish("1.0.0", model=model)
        engineer.publish("2.0.0", model="replaced")
        yield Pair(one, two, engineer, url)


def test_when_the_holder_is_killed_the_other_goes_on_and_decides_once(pair: Pair) -> None:
    holder, other = pair.roles()
    canary = device(other, "killed")
    rollout = pair.roll_out(other, "killed")
    until(lambda: takes(canary))
    holder.stop(signal.SIGKILL)
    until(lambda: leads(other), within_s=10)
    assert finishes_once(other, canary, rollout)
    holder.start()


def test_a_stopped_holder_is_replaced_by_nobody_and_goes_on(pair: Pair) -> None:
    holder, other = pair.roles()
    canary = device(other, "stopped")
    with stopped(holder):
        rollout = pair.roll_out(other, "stopped")
        for _ in range(20):
            canary.turn()
        assert not leads(other)
        assert happened(other, rollout) == []
    assert finishes_once(other, canary, rollout)


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_a_holder_that_was_stopped_and_replaced_does_not_act_when_it_goes_on(pair: Pair) -> None:
    holder, other = pair.roles()
    canary = device(other, "replaced")
    with stopped(holder):
        pair.cut_off()
        until(lambda: leads(other), within_s=10)
        first = pair.roll_out(other, "replaced")
        until(lambda: takes(canary))
    until(lambda: not leads(holder))
    assert finishes_once(other, canary, first)
    second = pair.roll_out(other, "replaced", "2.0.0")
    assert finishes_once(other, canary, second)
    assert not leads(holder)
    assert f"rollout={second}" not in holder.log()


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Stop a process without ending it, and let it go on."""
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)
