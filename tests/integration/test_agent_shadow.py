"""A candidate beside the model that answers: real agent, real workers, real models."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.agent_fleet import QUICK, Device, Fleet, Offer, quiet_end, wait_for
from tests.integration.agent_models import BRIGHT, FOREVER, make_bundle
from tests.integration.test_agent_kill import sweep
from tests.integration.test_agent_update import Client

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def order(duration_s: float = 1.5, every: int = 2) -> str:
    return json.dumps({"every": every, "duration_s": duration_s})


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        (tmp_path / "samples").mkdir()
        np.save(tmp_path / "samples" / "0.npy", BRIGHT)
        device.configure(QUICK.format(folder=tmp_path / "samples", rate_hz=50) + "\n")
        device.enrol()
        yield device


def serving(device: Device, version: str = "1.0.0") -> Offer:
    offer = device.fleet.offer(make_bundle(device.folder.parent / "bundles", version))
    device.start()
    wait_for(lambda: offer.closed, why=device.log())
    return offer


def shadowed(device: Device, version: str, *, wanted: str = "", **kind: Any) -> Offer:
    bundle = make_bundle(device.folder.parent / "bundles", version, **kind)
    return device.fleet.offer(bundle, shadow=wanted or order())


def found(offer: Offer) -> dict[str, Any]:
    result: dict[str, Any] = offer.closed[0]["edgekit"]["shadow"]
    return result


def never_answered(device: Device, offer: Offer) -> bool:
    digests = {window["digest"] for window in device.fleet.arrived()}
    return offer.bundle.sha256 not in digests


@pytest.mark.parametrize("swapped", [False, True], ids=["agrees", "disagrees"])
def test_a_candidate_is_compared_on_live_inputs_and_answers_nobody(
    device: Device, swapped: bool
) -> None:
    before = serving(device)
    client = Client(device.model()["address"])
    client.start()
    offer = shadowed(device, "2.0.0", shift=0.1, swapped=swapped)
    wait_for(lambda: offer.closed, why=device.log())
    client.finish()
    assert offer.outcome == ("shadowed", "")
    result = found(offer)
    assert result["against"] == before.bundle.sha256
    assert result["pairs"] >= 1
    dark = result["pairs"] - result.get("agreed", 0)  # what the client asks is dark: always alike
    assert bool(dark) is swapped
    assert set(client.versions) == {"1.0.0"}
    assert not client.failures
    assert device.fleet.running == f"digits={before.bundle.sha256}"
    assert never_answered(device, offer)
    assert device.slots()["active"] == before.bundle.sha256


def test_what_a_candidate_does_not_answer_is_counted_as_failed(device: Device) -> None:
    serving(device)
    offer = shadowed(device, "2.0.0", nan=True)
    wait_for(lambda: offer.closed, why=device.log())
    assert offer.outcome == ("shadowed", "")
    assert found(offer)["failed"] >= 1
    assert found(offer).get("pairs", 0) == 0


def test_a_candidate_that_hangs_beside_the_model_is_rejected_and_delays_nobody(
    device: Device,
) -> None:
    before = serving(device)
    client = Client(device.model()["address"])
    client.start()
    offer = shadowed(device, "2.0.0", wanted=order(60.0), turns=FOREVER)
    wait_for(lambda: offer.closed, why=device.log())
    client.finish()
    assert offer.outcome == ("rejected", "crash")
    assert not client.failures
    assert device.fleet.running == f"digits={before.bundle.sha256}"
    assert never_answered(device, offer)


def test_without_traffic_it_recomputes_golden_samples_and_has_no_pair(
    device: Device, tmp_path: Path
) -> None:
    device.configure("poll_interval_s = 0.1\n[probation]\nduration_s = 0.2\n")
    serving(device)
    offer = shadowed(device, "2.0.0", wanted=order(0.5))
    wait_for(lambda: offer.closed, why=device.log())
    assert offer.outcome == ("shadowed", "")
    assert found(offer)["golden"] == 3
    assert found(offer).get("pairs", 0) == 0


def test_a_server_that_wants_no_more_ends_it_and_the_bundle_goes(device: Device) -> None:
    before = serving(device)
    offer = shadowed(device, "2.0.0", wanted=order(600.0))
    wait_for(lambda: any(f["edgekit"].get("state") == "shadow" for f in offer.feedback))
    device.fleet.cancelling = offer.action
    offer.closed.append({"edgekit": {"outcome": "cancelled"}})
    model = device.folder / "models" / "digits"
    held = {before.bundle.sha256}
    wait_for(lambda: {d.name for d in model.iterdir() if d.is_dir()} == held, why=device.log())
    assert device.model()["serving"]


def test_the_model_that_answers_may_crash_meanwhile_and_the_pairs_go_on(device: Device) -> None:
    serving(device)
    offer = shadowed(device, "2.0.0", wanted=order(3.0))
    wait_for(lambda: any(f["edgekit"].get("state") == "shadow" for f in offer.feedback))
    os.kill(device.model()["worker_pid"], signal.SIGKILL)
    wait_for(lambda: offer.closed, why=device.log())
    assert offer.outcome == ("shadowed", "")
    assert found(offer)["pairs"] >= 1


def test_a_release_that_was_shadowed_is_installed_without_another_download(
    device: Device,
) -> None:
    serving(device)
    first = shadowed(device, "2.0.0", wanted=order(0.5))
    wait_for(lambda: first.closed, why=device.log())
    asked = len(device.fleet.ranges)
    second = device.fleet.offer(first.bundle, publish=False)
    wait_for(lambda: second.closed, why=device.log())
    assert second.outcome[0] in {"committed", "unexercised"}
    assert len(device.fleet.ranges) == asked


def test_an_agent_killed_at_any_write_of_a_shadow_serves_and_reports_once(
    device: Device, fleet: Fleet
) -> None:
    """From the self-test on; the writes before it are those of any update."""
    kills = sweep(device, fleet, first=9, outcomes={("shadowed", "")}, shadow=order(0.4))
    assert kills == 8
