"""Bad days on a real server: outages, silence, lies. A stage never widens on them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edgekit.client.wire.rollouts import RolloutView
from tests.integration.server_fleet import (
    LITERT,
    ONNX,
    Engineer,
    Server,
    SimulatedDevice,
    drive,
    everybody,
    quick,
    until,
)

pytestmark = pytest.mark.integration

OVER = {"finished", "rolled_back", "aborted", "held"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("bad-days") / "server")
    server.init()
    (server.data / "server.toml").write_text("least_interval_s = 1.0\n")
    server.start(poll_interval=1.0)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def engineer(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Engineer:
    return Engineer.create(server, tmp_path_factory.mktemp("engineer"), *MODELS)


MODELS = ("site", "silent", "variant", "nobody", "back", "lies")
BOTH = ("onnx-fp32", "tflite-fp32")


def fleet(
    server: Server, engineer: Engineer, model: str, count: int, variants: tuple[str, ...] = BOTH
) -> list[SimulatedDevice]:
    """Enrol devices by turns of each kind, with 1.0.0 of a model of their own on all of them."""
    devices = [
        SimulatedDevice.enrol(
            server,
            f"{model}-{number}",
            profile=ONNX if number % len(variants) == 0 else LITERT,
            labels={
                "for": model,
                "site": "a" if number < count // 2 else "b",
                "ring": "first" if number < 2 else "rest",
            },
        )
        for number in range(count)
    ]
    for version in ("1.0.0", "1.1.0"):
        engineer.publish(version, model=model, variants=variants)
    first = engineer.roll_out("1.0.0", model=model, selector=f"for={model}", **everybody())
    assert drive(server, devices, first.id).phase == "finished"
    for device in devices:
        device.turn()
    return devices


def try_out(engineer: Engineer, model: str, **first: object) -> RolloutView:
    stage = {**quick(), "bake_s": 1, "timeout_s": 600, **first}
    return engineer.roll_out(
        "1.1.0",
        model=model,
        selector=f"for={model}",
        stages=[stage, quick(percent=100)],
        gate={"mode": "must_not_fail"},
    )


def new_digest(server: Server, model: str) -> set[str]:
    with server.client() as client:
        return {v.digest for v in client.release(model, "1.1.0").variants}


def on_trial(server: Server, devices: list[SimulatedDevice], model: str) -> list[SimulatedDevice]:
    new = new_digest(server, model)
    return [d for d in devices if new & set(d.running.values())]


def ended(server: Server, alive: list[SimulatedDevice], rollout: str) -> RolloutView:
    """Let those who live take turns until the rollout is over; it never reached the last stage."""
    with server.client() as client:

        def over() -> RolloutView | None:
            for device in alive:
                device.turn()
            time.sleep(0.1)
            view = client.rollout(rollout)
            return view if view.phase in OVER else None

        view: RolloutView = until(over)
    assert [h.stage for h in view.happenings if h.kind == "stage_started"] == [0]
    assert view.phase in {"held", "rolled_back"}
    return view


def begin(server: Server, devices: list[SimulatedDevice], model: str) -> list[SimulatedDevice]:
    """Let devices take turns until some run the new release; returns those."""

    def some() -> list[SimulatedDevice]:
        for device in devices:
            device.turn()
        return on_trial(server, devices, model)

    found: list[SimulatedDevice] = until(some)
    return found


def test_a_site_outage_during_a_stage_waits_for_a_person(
    server: Server, engineer: Engineer
) -> None:
    devices = fleet(server, engineer, "site", 8, variants=("onnx-fp32",))
    rollout = try_out(engineer, "site", selector="ring=first", min_windows=50, timeout_s=12)
    until(lambda: len(begin(server, devices, "site")) == 2)
    view = ended(server, devices[4:], rollout.id)  # site a is dark: canaries and controls
    assert view.phase == "held", view
    assert not on_trial(server, devices[4:], "site")


def test_a_canary_that_dies_silently_is_no_pass(server: Server, engineer: Engineer) -> None:
    devices = fleet(server, engineer, "silent", 6, variants=("onnx-fp32",))
    rollout = try_out(engineer, "silent", devices=2, min_windows=3, bake_s=6, timeout_s=20)
    dead = begin(server, devices, "silent")[:1]
    alive = [d for d in devices if d not in dead]
    view = ended(server, alive, rollout.id)
    told = " ".join(h.text for h in view.happenings) + " ".join(
        c.sentence for h in view.happenings for c in h.checks
    )
    assert dead[0].name in told or "silent" in told


def test_all_canaries_of_one_variant_that_fail_stop_the_stage(
    server: Server, engineer: Engineer
) -> None:
    devices = fleet(server, engineer, "variant", 8)
    with server.client() as client:
        bad = next(
            v.digest
            for v in client.release("variant", "1.1.0").variants
            if v.variant == "tflite-fp32"
        )
    for device in devices:
        device.outcomes[bad] = "reverted"
    rollout = try_out(engineer, "variant", devices_per_variant=1, min_windows=3)
    view = ended(server, devices, rollout.id)
    assert view.phase == "rolled_back"
    assert view.counts["reverted"] == 1
    until(lambda: _back(devices, server))


def _back(devices: list[SimulatedDevice], server: Server) -> bool:
    for device in devices:
        device.turn()
    return not on_trial(server, devices, "variant")


def test_a_stage_that_nobody_can_join_holds_and_says_so(server: Server, engineer: Engineer) -> None:
    devices = fleet(server, engineer, "nobody", 2, variants=("onnx-fp32",))
    rollout = try_out(engineer, "nobody", selector="site=moon", timeout_s=6)
    with server.client() as client:

        def held() -> RolloutView | None:
            for device in devices:
                device.turn()
            view = client.rollout(rollout.id)
            return view if view.phase in OVER else None

        view = until(held)
    assert view.phase == "held"
    assert not on_trial(server, devices, "nobody")
    assert not any(h.kind == "promoted" for h in view.happenings)


def test_ways_back_by_slot_are_exempt_from_the_rate_limit_and_downloads_are_not(
    server: Server, engineer: Engineer
) -> None:
    devices = fleet(server, engineer, "back", 6, variants=("onnx-fp32",))
    engineer.publish("1.0.5", model="back", variants=("onnx-fp32",))
    selector = "for=back,ring=first"
    between = engineer.roll_out("1.0.5", model="back", selector=selector, **everybody())
    assert drive(server, devices, between.id).phase == "finished"
    with server.client() as client:
        client.withdraw("back", "1.0.5")  # two devices hold it, and may not go back to it
    rollout = engineer.roll_out(
        "1.1.0",
        model="back",
        selector="for=back",
        stages=[quick(percent=100, timeout_s=600, min_windows=10_000)],
        rate_limit={"devices": 6, "per_s": 3600},
        gate={"mode": "must_not_fail"},
    )
    until(lambda: len(begin(server, devices, "back")) == 6)
    with server.client() as client:
        client.abort(rollout.id)
    until(lambda: sum("deploymentBase" in d.poll() for d in devices[2:]) == 4)
    assert not any("deploymentBase" in device.poll() for device in devices[:2])


def test_lies_of_one_device_change_no_verdict(server: Server, engineer: Engineer) -> None:
    devices = fleet(server, engineer, "lies", 6, variants=("onnx-fp32",))
    liar, victim = devices[0], devices[1]
    rollout = try_out(engineer, "lies", devices=2, min_windows=3)
    sent = [replace(liar.window("lies"), errors={"infer": 100}) for _ in range(5)]
    begin(server, devices, "lies")
    other = SimulatedDevice(server, victim.name, liar.token, running=dict(liar.running))
    assert other.ask("GET").status == 401  # for another
    for _ in range(3):
        liar.send(sent, spool="replayed")  # the same windows again and again
    wrong = [
        replace(w, seq=100 + n, digest="f" * 64, ended_mono_s=w.ended_mono_s + 1e7)
        for n, w in enumerate(sent)
    ]
    liar.send(wrong, spool="lied")  # a digest that nobody offered, at a time to come
    view = drive(server, devices, rollout.id)
    assert view.phase == "finished"
    with server.client() as client:
        replayed = [t for t in client.telemetry(liar.name) if t.spool_id == "replayed"]
    assert sum(t.windows for t in replayed) == 5
