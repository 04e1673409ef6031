"""Rollout policies on a real server: when, how fast, who approves, and who is asked again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from edgekit.client.http import FleetClient
from edgekit.client.publishing import revoke
from edgekit.client.wire.accounts import NewAccount, NewToken
from edgekit.errors import ConflictError
from tests.integration.server_fleet import (
    Engineer,
    Server,
    SimulatedDevice,
    drive,
    everybody,
    now,
    quick,
    until,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("policies") / "server") as server:
        yield server


@pytest.fixture(scope="module")
def engineer(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Engineer:
    engineer = Engineer.create(server, tmp_path_factory.mktemp("engineer"))
    for version in range(1, 8):
        engineer.publish(f"{version}.0.0")
    return engineer


def opened(server: Server, rollout: str) -> None:
    with server.client() as client:
        until(lambda: any(h.kind == "stage_started" for h in client.rollout(rollout).happenings))


def offered(devices: list[SimulatedDevice]) -> int:
    return sum("deploymentBase" in device.poll() for device in devices)


def test_nothing_is_offered_outside_the_windows(server: Server, engineer: Engineer) -> None:
    device = SimulatedDevice.enrol(server, "window", labels={"for": "window"})
    later = now() + timedelta(hours=2)
    window = {"start": f"{later:%H:%M}", "end": f"{later + timedelta(hours=1):%H:%M}"}
    rollout = engineer.roll_out("1.0.0", selector="for=window", windows=[window], **everybody())
    opened(server, rollout.id)
    assert offered([device]) == 0
    with server.client() as client:
        client.abort(rollout.id)
    earlier = now() - timedelta(hours=1)
    window = {"start": f"{earlier:%H:%M}", "end": f"{later:%H:%M}"}
    rollout = engineer.roll_out("1.0.0", selector="for=window", windows=[window], **everybody())
    opened(server, rollout.id)
    assert offered([device]) == 1


def test_offers_keep_to_the_rate_limit(server: Server, engineer: Engineer) -> None:
    devices = [SimulatedDevice.enrol(server, f"rate-{i}", labels={"for": "rate"}) for i in range(5)]
    an_hour, a_second = ({"devices": 2, "per_s": seconds} for seconds in (3600, 1))
    rollout = engineer.roll_out("2.0.0", selector="for=rate", rate_limit=an_hour, **everybody())
    opened(server, rollout.id)
    assert offered(devices) == 2
    assert offered(devices) == 2
    with server.client() as client:
        client.abort(rollout.id)
    engineer.roll_out("2.0.0", selector="for=rate", rate_limit=a_second, **everybody())
    until(lambda: offered(devices) == 5)  # two a second


def test_a_second_person_opens_the_stage(server: Server, engineer: Engineer) -> None:
    device = SimulatedDevice.enrol(server, "approve", labels={"for": "approve"})
    stages = [{**quick(percent=100), "approval": True}]
    rollout = engineer.roll_out(
        "3.0.0", selector="for=approve", stages=stages, gate={"mode": "must_not_fail"}
    )
    with server.client() as client:
        until(lambda: client.rollout(rollout.id).waits_for == "approval")
        assert client.rollout(rollout.id).started_by == "admin"
        with pytest.raises(ConflictError, match="somebody else"):
            client.approve(rollout.id)
    assert offered([device]) == 0
    with second_person(server) as client:
        client.approve(rollout.id)
    view = drive(server, [device], rollout.id)
    assert view.phase == "finished"
    assert [h.text for h in view.happenings if h.kind == "approved"] == [
        "Stage 1 is approved by bob."
    ]


def second_person(server: Server) -> FleetClient:
    with server.client() as client:
        client.create_account(NewAccount(name="bob", role="operator"))
        made = client.create_token(NewToken(account="bob", role="operator"))
    return FleetClient(server.url, made.token)


def test_a_ring_by_selector_goes_first(server: Server, engineer: Engineer) -> None:
    ring = SimulatedDevice.enrol(server, "ring-a", labels={"for": "ring", "ring": "canary"})
    rest = SimulatedDevice.enrol(server, "ring-b", labels={"for": "ring"})
    rollout = engineer.roll_out(
        "4.0.0",
        selector="for=ring",
        stages=[quick(selector="ring=canary"), quick(percent=100)],
        gate={"mode": "must_not_fail"},
    )
    opened(server, rollout.id)
    assert [offered([ring]), offered([rest])] == [1, 0]
    assert drive(server, [ring, rest], rollout.id).phase == "finished"


def test_a_rollout_is_tried_again_where_it_failed(server: Server, engineer: Engineer) -> None:
    device = SimulatedDevice.enrol(server, "again", labels={"for": "again"})
    with server.client() as client:
        (variant,) = client.release("digits", "5.0.0").variants
        device.outcomes[variant.digest] = "reverted"
        rollout = engineer.roll_out("5.0.0", selector="for=again", on_fail="pause", **everybody())
        for attempt in range(3):
            opened(server, rollout.id)

            def paused() -> bool:
                device.turn()
                return client.rollout(rollout.id).phase == "paused"

            until(paused)
            if attempt < 2:
                client.retry_rollout(rollout.id)
                client.resume(rollout.id)
                until(lambda: offered([device]) == 1)
        with pytest.raises(ConflictError, match="nothing failed"):
            client.retry_rollout(rollout.id)
        assert [e.state for e in client.history("again")] == ["reverted"] * 3


def test_the_schema_is_served(server: Server) -> None:
    answer = server.ask(
        "GET", "/api/v1/rollouts/schema", headers={"Authorization": f"Bearer {server.token}"}
    )
    assert answer.json["$defs"]["RolloutFile"]["additionalProperties"] is False


def test_a_revoked_release_is_unlisted_and_replaced(server: Server, engineer: Engineer) -> None:
    device = SimulatedDevice.enrol(server, "revoked", labels={"for": "revoked"})
    with server.client() as client:
        for version in ("6.0.0", "7.0.0"):
            rollout = engineer.roll_out(version, selector="for=revoked", **everybody())
            assert drive(server, [device], rollout.id).phase == "finished"
        assert client.device("revoked").committed == {"digits": "7.0.0"}
        again = partial(
            revoke, client, model="digits", version="7.0.0", keystore=engineer.keystore, now=now()
        )
        assert again().state == "revoked"
        assert again().state == "revoked"
        listed = client.trust_metadata("digits") or b""
        assert b"digits/6.0.0" in listed
        assert b"digits/7.0.0" not in listed

        def back() -> bool:
            device.turn()
            return client.device("revoked").committed == {"digits": "6.0.0"}

        until(back)
        with pytest.raises(ConflictError, match="is revoked"):
            engineer.publish("7.0.0")
        with pytest.raises(ConflictError):
            engineer.roll_out("7.0.0", selector="for=revoked", **everybody())
