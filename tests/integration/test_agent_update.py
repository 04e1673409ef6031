"""Updates of a real agent: processes, sockets, TUF and ONNX Runtime are real.

Only the server is the tests' own.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.integration.agent_fleet import CONFIG, Device, Fleet, Offer, gone, quiet_end, wait_for
from tests.integration.agent_fleet_http import BASE
from tests.integration.agent_models import A_WHILE, BRIGHT, DARK, FOREVER, make_bundle

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SOURCE = """
[source]
folder = "{folder}"
rate_hz = 50
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "fleet", ("digits", "faces"))
    fleet.start()
    yield fleet
    fleet.stop()


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        device.configure(CONFIG)
        device.enrol()
        yield device


def samples(folder: Path) -> str:
    folder.mkdir()
    for index, image in enumerate((DARK, BRIGHT)):
        np.save(folder / f"{index}.npy", image)
    return SOURCE.format(folder=folder)


def installed(device: Device, version: str = "1.0.0", **kind: Any) -> Offer:
    """Start the agent and bring it to a committed release."""
    bundle = make_bundle(device.folder.parent / "bundles", version, **kind)
    offer = device.fleet.offer(bundle)
    device.start()
    ended(offer)
    assert offer.outcome[0] in {"committed", "unexercised"}
    return offer


def ended(offer: Offer) -> Offer:
    wait_for(lambda: offer.closed, why="no outcome was reported")
    return offer


def ask(device: Device, image: Any = DARK) -> dict[str, Any]:
    """Ask the model on the device over HTTP; returns the response, with its status."""
    parts = urlsplit(device.model()["address"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        return asked(connection, image)
    finally:
        connection.close()


def asked(connection: http.client.HTTPConnection, image: Any = DARK) -> dict[str, Any]:
    one = {"name": "image", "shape": [2, 2], "datatype": "UINT8", "data": image.tolist()}
    connection.request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [one]}))
    response = connection.getresponse()
    return {**json.loads(response.read()), "status": response.status}


class Client(threading.Thread):
    """Asks without a pause, over one kept connection at a time; notes every failure."""

    def __init__(self, address: str, *, keep: bool = True, image: Any = DARK) -> None:
        super().__init__(daemon=True)
        self.parts = urlsplit(address)
        self.keep, self.image = keep, image
        self.failures: list[str] = []
        self.versions: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.parts.port, timeout=60)
        while not self.done.is_set():
            try:
                answer = asked(connection, self.image)
                if answer["status"] != 200:
                    self.failures.append(str(answer))
                else:
                    self.versions.append(answer["model_version"])
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            if not self.keep:
                connection.close()
        connection.close()

    def finish(self) -> None:
        self.done.set()
        self.join(90)


def test_a_release_is_installed_updated_and_taken_back_without_the_network_of_trust(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    device.configure(CONFIG + samples(tmp_path / "samples"))
    first = installed(device)
    assert first.outcome == ("committed", "")
    assert first.closed[0]["edgekit"]["digest"] == first.bundle.sha256
    assert [f["edgekit"]["state"] for f in first.feedback] == ["downloading", "probation"]

    second = ended(fleet.offer(make_bundle(tmp_path / "bundles", "1.1.0", shift=0.1)))
    assert second.outcome == ("committed", "")
    wait_for(lambda: fleet.running == f"digits={second.bundle.sha256}")
    downloads = len(fleet.ranges)
    for name in ("timestamp.json", "1.root.json"):
        (fleet.folder / "tuf" / name).unlink(missing_ok=True)

    back = ended(fleet.offer(first.bundle, publish=False, kind="rollback"))
    assert back.outcome == ("committed", "")
    wait_for(lambda: fleet.running == f"digits={first.bundle.sha256}")
    assert len(fleet.ranges) == downloads
    assert device.slots()["previous"] == second.bundle.sha256
    assert ask(device)["model_version"] == "1.0.0"


def test_a_release_without_traffic_is_committed_as_unexercised(device: Device) -> None:
    assert installed(device).outcome == ("unexercised", "")


@pytest.mark.parametrize(
    ("kind", "outcome", "reason"),
    [
        pytest.param({"wrong_golden": True}, "rejected", "golden_mismatch", id="golden"),
        pytest.param({"garbage": True}, "rejected", "load_failed", id="no-model"),
        pytest.param({"runtime": "litert9"}, "rejected", "unsupported", id="no-runtime"),
    ],
)
def test_a_bad_bundle_is_refused_while_the_old_model_answers(
    device: Device, fleet: Fleet, tmp_path: Path, kind: dict[str, Any], outcome: str, reason: str
) -> None:
    before = installed(device)
    client = Client(device.model()["address"])
    client.start()
    bad = ended(fleet.offer(make_bundle(tmp_path / "bundles", "2.0.0", **kind)))
    client.finish()
    assert bad.outcome == (outcome, reason)
    assert bad.closed[0]["edgekit"]["digest"] == before.bundle.sha256
    assert client.failures == []
    assert set(client.versions) == {"1.0.0"}
    assert device.slots()["active"] == before.bundle.sha256
    wait_for(lambda: not list((device.folder / "downloads").iterdir()))
    staged = device.folder / "models" / "digits" / bad.bundle.sha256
    wait_for(lambda: not staged.exists(), why="the refused bundle is left over")


def test_bytes_that_were_not_signed_are_refused(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    before = installed(device)
    fleet.tampered = True
    bad = ended(fleet.offer(make_bundle(tmp_path / "bundles", "2.0.0", shift=1.0)))
    assert bad.outcome == ("rejected", "digest_mismatch")
    assert ask(device)["model_version"] == "1.0.0"
    assert device.slots() == {
        "active": before.bundle.sha256,
        "previous": "",
        "trial": "",
        "unsteady": "",
        "format_version": "1.0",
    }


def test_a_bundle_that_nobody_signed_is_refused(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    installed(device)
    bad = fleet.offer(make_bundle(tmp_path / "bundles", "2.0.0", shift=1.0), publish=False)
    assert ended(bad).outcome == ("rejected", "untrusted")
    assert ask(device)["model_version"] == "1.0.0"


def test_a_listed_bundle_of_another_model_is_refused(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    installed(device)
    faces = make_bundle(tmp_path / "bundles", "2.0.0", model="faces")
    fleet.publish(faces)
    listed = "models/faces/2.0.0/onnx-fp32.bundle"
    bad = fleet.offer(faces, publish=False, model="digits", target=listed)
    assert ended(bad).outcome == ("rejected", "wrong_model")
    assert ask(device)["model_version"] == "1.0.0"


def test_a_bundle_signed_under_another_version_is_refused(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    installed(device)
    bundle = make_bundle(tmp_path / "bundles", "2.0.0", shift=1.0)
    bad = ended(fleet.offer(bundle, version="3.0.0"))
    assert bad.outcome == ("rejected", "wrong_model")


@pytest.mark.parametrize(
    ("kind", "extra", "reason"),
    [
        pytest.param({"nan": True}, "", "nan_outputs", id="nan"),
        pytest.param({"turns": FOREVER}, "", "crash", id="hang"),
        pytest.param({"turns": A_WHILE}, "deadline_ms = 100\n", "deadline_misses", id="slow"),
    ],
)
def test_a_model_that_fails_in_service_is_taken_back_by_the_device(
    device: Device, fleet: Fleet, tmp_path: Path, kind: dict[str, Any], extra: str, reason: str
) -> None:
    patient = CONFIG.replace("duration_s = 1.0", "duration_s = 5.0")  # a slow model answers seldom
    device.configure(extra + patient + samples(tmp_path / "samples"))
    before = installed(device)
    bad = ended(fleet.offer(make_bundle(tmp_path / "bundles", "2.0.0", **kind)))
    assert bad.outcome == ("reverted", reason)
    assert bad.closed[0]["edgekit"]["digest"] == before.bundle.sha256
    wait_for(lambda: fleet.running == f"digits={before.bundle.sha256}")
    assert ask(device)["model_version"] == "1.0.0"
    assert device.slots()["active"] == before.bundle.sha256


def test_a_candidate_whose_process_dies_is_taken_back(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    """The crash is simulated: the test kills the worker of the candidate."""
    device.configure(CONFIG.replace("duration_s = 1.0", "duration_s = 60"))
    first = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    wait_for(lambda: device.model().get("mode") == "probation")
    os.kill(device.model()["worker_pid"], signal.SIGKILL)
    assert ended(first).outcome == ("reverted", "crash")
    assert first.closed[0]["edgekit"].get("digest", "") == ""
    wait_for(lambda: not device.live()["models"])


def test_a_first_install_that_fails_leaves_nothing_running(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    patient = CONFIG.replace("duration_s = 1.0", "duration_s = 5.0")
    device.configure(patient + samples(tmp_path / "samples"))
    bad = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0", nan=True))
    device.start()
    assert ended(bad).outcome == ("reverted", "nan_outputs")
    wait_for(lambda: not device.live()["models"])
    assert device.slots()["active"] == ""


@pytest.mark.parametrize("keep", [True, False], ids=["kept-connections", "new-connections"])
def test_a_swap_under_load_loses_no_answer(
    device: Device, fleet: Fleet, tmp_path: Path, keep: bool
) -> None:
    installed(device)
    clients = [Client(device.model()["address"], keep=keep) for _ in range(3)]
    for client in clients:
        client.start()
    bundles = tmp_path / "bundles"
    for version in ("1.1.0", "1.2.0"):
        offer = ended(fleet.offer(make_bundle(bundles, version, shift=float(version[2]))))
        assert offer.outcome == ("committed", "")
    wait_for(lambda: all("1.2.0" in c.versions for c in clients))
    for client in clients:
        client.finish()
        assert client.failures == []
        assert list(dict.fromkeys(client.versions)) == ["1.0.0", "1.1.0", "1.2.0"]


def test_a_worker_that_dies_is_started_again_on_the_same_address(device: Device) -> None:
    installed(device)
    before = device.model()
    os.kill(before["worker_pid"], signal.SIGKILL)
    wait_for(lambda: device.model()["worker_pid"] != before["worker_pid"])
    wait_for(lambda: device.model()["serving"])
    assert device.model()["address"] == before["address"]
    assert ask(device)["parameters"]["label"] == "dark"


def test_a_release_that_will_not_stay_up_gives_way_to_the_one_before(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    first = installed(device)
    second = ended(fleet.offer(make_bundle(tmp_path / "bundles", "1.1.0", shift=0.1)))
    wait_for(lambda: fleet.running == f"digits={second.bundle.sha256}")
    killed: set[int] = set()

    def fell_back() -> bool:
        model = device.model()
        pid = model.get("worker_pid", 0)
        if model.get("digest") == second.bundle.sha256 and model["serving"] and pid not in killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        return fleet.running == f"digits={first.bundle.sha256}"

    wait_for(fell_back)
    assert len(killed) == 6
    assert ask(device)["model_version"] == "1.0.0"
    downloads = len(fleet.ranges)
    again = ended(fleet.offer(second.bundle, publish=False))
    assert again.outcome == ("reverted", "crash")
    assert again.closed[0]["edgekit"]["digest"] == first.bundle.sha256
    assert len(fleet.ranges) == downloads


def test_a_download_that_was_cut_is_resumed(device: Device, fleet: Fleet, tmp_path: Path) -> None:
    fleet.cut_after = 700
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    assert ended(offer).outcome[0] == "unexercised"
    assert fleet.ranges == ["", "bytes=700-"]


def test_a_download_is_resumed_by_the_next_agent(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.cut_after, fleet.busy_after_cut = 700, 1_000_000
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    part = device.folder / "downloads" / f"{offer.bundle.sha256}.part"
    device.start()
    wait_for(lambda: part.exists() and part.stat().st_size == 700)
    device.kill()
    fleet.busy = 0
    device.start()
    assert ended(offer).outcome[0] == "unexercised"
    assert fleet.ranges[-1] == "bytes=700-"


def test_a_disk_without_room_is_reported_and_changes_nothing(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    """The full disk is simulated: the agent's view of the free space is replaced."""
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start(
        "import collections, runpy, shutil, sys\n"
        "usage = collections.namedtuple('usage', 'total used free')\n"
        "shutil.disk_usage = lambda _: usage(1, 1, 1000)\n"
        "from device_agent.__main__ import main\n"
        "sys.exit(main())\n"
    )
    assert ended(offer).outcome == ("failed", "no_room")
    assert fleet.ranges == []


def test_a_busy_server_is_left_alone_and_asked_again(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.busy = 2
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    assert ended(offer).outcome[0] == "unexercised"


def test_workers_end_with_an_agent_that_was_killed(device: Device) -> None:
    installed(device)
    pid = device.model()["worker_pid"]
    device.kill()
    wait_for(lambda: gone(pid))
    device.start()
    wait_for(lambda: device.model().get("serving") and device.model()["worker_pid"] != pid)
    assert ask(device)["model_version"] == "1.0.0"


def test_a_damaged_journal_keeps_the_committed_model_answering(device: Device) -> None:
    before = installed(device)
    device.stop()
    (device.folder / "journal.json").write_bytes(b'{"state":')
    device.start()
    wait_for(lambda: device.model().get("serving"))
    assert device.model()["digest"] == before.bundle.sha256
    assert ask(device)["model_version"] == "1.0.0"
    assert (device.folder / "journal.damaged").exists()


def test_a_bit_flipped_at_rest_gives_way_to_the_slot_before(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    first = installed(device)
    second = ended(fleet.offer(make_bundle(tmp_path / "bundles", "1.1.0", shift=0.1)))
    device.stop()
    bundle = device.folder / "models" / "digits" / second.bundle.sha256 / "bundle.bundle"
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    device.start()
    wait_for(lambda: device.model().get("serving"))
    assert device.model()["digest"] == first.bundle.sha256
    assert ask(device)["model_version"] == "1.0.0"


def test_a_trial_that_a_person_interrupts_begins_again(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    device.configure(CONFIG.replace("duration_s = 1.0", "duration_s = 60"))
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    wait_for(lambda: device.model().get("mode") == "probation")
    assert device.stop() == 0
    device.configure(CONFIG)
    device.start()
    assert ended(offer).outcome[0] == "unexercised"


def test_expired_metadata_blocks_the_update_and_not_the_running_model(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    before = installed(device)
    bundle = make_bundle(tmp_path / "bundles", "2.0.0", shift=1.0)
    valid_now, fleet.now = fleet.now, fleet.now - timedelta(days=10)
    offer = fleet.offer(bundle)
    wait_for(lambda: "expired" in device.live().get("contact_error", ""))
    assert not offer.closed
    assert ask(device)["model_version"] == "1.0.0"
    fleet.repository.refresh(now=valid_now)
    wait_for(lambda: offer.closed)
    assert offer.outcome[0] == "unexercised"
    assert device.slots()["previous"] == before.bundle.sha256


def test_an_outcome_that_the_server_refuses_for_ever_does_not_stop_the_device(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.refuse_outcomes = 1
    first = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    wait_for(lambda: fleet.refuse_outcomes == 0)
    wait_for(lambda: fleet.running == f"digits={first.bundle.sha256}")


def test_what_came_of_an_offer_that_was_withdrawn_is_removed(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.cut_after, fleet.busy_after_cut = 700, 1_000_000
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    part = device.folder / "downloads" / f"{offer.bundle.sha256}.part"
    device.start()
    wait_for(lambda: fleet.busy and part.exists())
    fleet.offers.remove(offer)
    fleet.busy = 0
    wait_for(lambda: not part.exists())
    assert device.live()["models"] == {}


def test_a_deployment_that_was_begun_too_often_is_given_up(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    before = installed(device)
    device.stop()
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "2.0.0", shift=1.0))
    wanted = {
        "action": offer.action,
        "kind": "update",
        "model": "digits",
        "version": "2.0.0",
        "variant": "onnx-fp32",
        "target": offer.target,
        "digest": offer.bundle.sha256,
        "size": offer.bundle.size,
        "url": f"{fleet.url}{BASE}/artifacts/{offer.action}",
        "answer_url": f"{fleet.url}{BASE}/deploymentBase/{offer.action}/feedback",
    }
    record = {"state": "downloading", "visits": 28, "deployment": wanted, "format_version": "1.0"}
    (device.folder / "journal.json").write_text(json.dumps(record))
    device.start()
    assert ended(offer).outcome == ("failed", "interrupted")
    assert offer.closed[0]["edgekit"]["digest"] == before.bundle.sha256
    assert ask(device)["model_version"] == "1.0.0"


@pytest.mark.parametrize(
    ("boot", "outcome"),
    [("same", ("reverted", "interrupted")), ("another", ("unexercised", ""))],
)
def test_a_crash_of_the_agent_fails_a_trial_and_a_reboot_does_not(
    device: Device, fleet: Fleet, tmp_path: Path, boot: str, outcome: tuple[str, str]
) -> None:
    """The reboot is simulated: the journal says that it was written in another boot."""
    installed(device)
    device.stop()
    device.configure(CONFIG.replace("duration_s = 1.0", "duration_s = 60"))
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "2.0.0", shift=1.0))
    journal = device.folder / "journal.json"
    device.start()
    wait_for(lambda: json.loads(journal.read_bytes())["state"] == "probation")
    device.kill()
    if boot == "another":
        journal.write_text(json.dumps({**json.loads(journal.read_bytes()), "boot_id": "other"}))
    device.configure(CONFIG)
    device.start()
    assert ended(offer).outcome == outcome
    expected = "2.0.0" if boot == "another" else "1.0.0"
    assert ask(device)["model_version"] == expected
