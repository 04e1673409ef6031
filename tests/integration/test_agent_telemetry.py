"""Windows of a real agent: all arrive, once, whatever happens to server and worker."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.integration.agent_fleet import CONFIG, Device, Fleet, quiet_end, wait_for
from tests.integration.agent_models import BRIGHT, DARK, make_bundle

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SOURCE = """
[source]
folder = "{folder}"
rate_hz = 100
"""


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        (tmp_path / "samples").mkdir()
        for index, image in enumerate((DARK, BRIGHT)):
            np.save(tmp_path / "samples" / f"{index}.npy", image)
        device.configure(CONFIG + SOURCE.format(folder=tmp_path / "samples"))
        device.enrol()
        offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
        device.start()
        wait_for(lambda: offer.closed)
        yield device


def everything_arrived(device: Device) -> None:
    """Stop the agent; what it recorded in all must be what the server has, once."""
    assert device.stop() == 0
    spool = device.status()["spool"]
    windows = device.fleet.windows
    assert spool["waiting"] == 0
    assert spool["windows"] == len(windows)
    assert spool["inferences"] == device.fleet.inferences()
    assert sorted(seq for _, seq in windows) == list(range(1, len(windows) + 1))


def test_windows_say_what_happened(device: Device, fleet: Fleet) -> None:
    wait_for(lambda: any(w["state"] == "steady" for w in fleet.arrived()))
    everything_arrived(device)
    windows = sorted(fleet.arrived(), key=lambda w: w["seq"])
    assert windows[0]["state"] == "probation"
    assert windows[-1]["state"] == "steady"
    for window in windows:
        assert window["model"] == "digits"
        assert window["latency_ms"]["count"] == window["inferences"]
        assert sum(window["confidence"]) == window["inferences"]
        assert sum(window["classes"].values()) == window["inferences"]
        assert set(window["classes"]) <= {"dark", "left", "right"}
        assert window["errors"] == {}
        assert window["rss_mb"] > 1


def test_windows_of_an_outage_arrive_afterwards_once(device: Device, fleet: Fleet) -> None:
    fleet.stop()
    before = device.status()["spool"]["windows"]
    wait_for(lambda: device.status()["spool"]["waiting"] >= 4)
    assert device.model()["serving"]
    fleet.start()
    wait_for(lambda: len(fleet.windows) >= before + 4)
    everything_arrived(device)


def test_windows_whose_receipt_was_lost_are_sent_again_and_count_once(
    device: Device, fleet: Fleet
) -> None:
    wait_for(lambda: fleet.windows)
    fleet.lose_receipts = 2
    wait_for(lambda: not fleet.lose_receipts)
    everything_arrived(device)
    assert fleet.deliveries > len(fleet.windows)


def test_a_window_that_the_server_refuses_does_not_hold_up_the_others(
    device: Device, fleet: Fleet
) -> None:
    wait_for(lambda: fleet.windows)
    bad = max(window["seq"] for window in fleet.arrived()) + 3
    fleet.refuse_windows = bad
    wait_for(lambda: any(window["seq"] > bad for window in fleet.arrived()))
    assert device.stop() == 0
    assert bad not in {seq for _, seq in fleet.windows}
    assert device.status()["spool"]["refused"] == 1
    assert device.status()["spool"]["waiting"] == 0


def test_a_killed_worker_loses_its_open_window_and_no_other(device: Device, fleet: Fleet) -> None:
    pid = device.model()["worker_pid"]
    wait_for(lambda: device.status()["spool"]["inferences"] > 100)
    closed = device.status()["spool"]["inferences"]
    os.kill(pid, signal.SIGKILL)
    killed_mono_s = time.monotonic()
    wait_for(lambda: device.model()["worker_pid"] != pid)
    wait_for(lambda: any(w["ended_mono_s"] > killed_mono_s for w in fleet.arrived()))
    assert closed <= sum(
        w["inferences"] for w in fleet.arrived() if w["ended_mono_s"] <= killed_mono_s
    )
    everything_arrived(device)


def test_a_replaced_worker_loses_nothing(device: Device, fleet: Fleet, tmp_path: Path) -> None:
    before = device.model()["digest"]
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.1.0", shift=0.1))
    wait_for(lambda: offer.closed)
    wait_for(lambda: device.model()["digest"] != before)
    everything_arrived(device)
    by_digest = {w["digest"] for w in fleet.arrived()}
    assert by_digest == {before, offer.bundle.sha256}


def test_answers_to_requests_with_an_id_are_recorded_where_the_owner_asks_for_it(
    device: Device, fleet: Fleet
) -> None:
    assert not any(w.get("answers") for w in fleet.arrived())
    assert device.stop() == 0
    device.configure("answers_share = 1.0\n" + CONFIG)
    device.start()
    wait_for(lambda: device.model().get("serving"), why=device.log())
    parts = urlsplit(device.model()["address"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    for name, image in (("r-1", DARK), ("r-2", BRIGHT), ("", BRIGHT)):
        one = {"name": "image", "shape": [2, 2], "datatype": "UINT8", "data": image.tolist()}
        body = {"inputs": [one], **({"id": name} if name else {})}
        connection.request("POST", "/v2/models/digits/infer", json.dumps(body))
        assert connection.getresponse().read()
    connection.close()

    def recorded() -> dict[str, str]:
        return {k: v for w in fleet.arrived() for k, v in w.get("answers", {}).items()}

    wait_for(lambda: len(recorded()) == 2, why=device.log())
    assert recorded() == {"r-1": "dark", "r-2": "left"}
