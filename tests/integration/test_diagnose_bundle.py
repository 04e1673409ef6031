"""A diagnose bundle on request: real server, real agent, real command; refusals and limits."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.errors import ConflictError
from edgekit.jobs import DIAGNOSIS_TYPE, MAX_DIAGNOSIS_BYTES
from edgekit.protocol import LINK_DIAGNOSIS
from fleet_server.services.diagnoses import KEPT, DiagnosisService
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.store.database import SqlDatabase
from tests.integration.agent_fleet import CONFIG, Device, quiet_end
from tests.integration.agent_fleet_http import DEVICE
from tests.integration.server_fleet import Engineer, Server, SimulatedDevice, until

pytestmark = pytest.mark.integration
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GZIP = b"\x1f\x8b" + b"0" * 100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("diagnoses")
    with Server(folder / "server") as server:
        Engineer.create(server, folder)
        yield server


@dataclass(frozen=True)
class Enrolment:
    """How a device becomes known to a server."""

    server: Server

    def enrolment_file(self) -> dict[str, str]:
        with self.server.client() as client:
            made = client.create_enrolment_token(NewEnrolmentToken())
        return {"server": self.server.url, "token": made.token, "root_sha256": made.root_sha256}


def polled(server: Server, name: str) -> SimulatedDevice:
    """Return a device that has polled, as the server knows."""
    device = SimulatedDevice.enrol(server, name)
    device.poll()
    with server.client() as client:
        until(lambda: client.device(name).last_seen_at)
    return device


def diagnose(server: Server, device: str, out: Path) -> subprocess.CompletedProcess[str]:
    words = ["device", "diagnose", device, "--bundle", str(out), "--wait", "60s"]
    return subprocess.run(
        [sys.executable, "-m", "edgekit.cli", *words],
        env={**os.environ, "EDGEKIT_SERVER": server.url, "EDGEKIT_TOKEN": server.token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_a_bundle_comes_from_the_device_to_the_person_who_asked(
    server: Server, tmp_path: Path
) -> None:
    device = Device(tmp_path / "device", None)  # type: ignore[arg-type]
    device.fleet = Enrolment(server)  # type: ignore[assignment]
    with quiet_end(device):
        device.configure(CONFIG)
        device.enrol()
        token = json.loads((device.folder / "identity.json").read_bytes())["token"]
        device.configure(f'attributes = {{ note = "{token}" }}\n{CONFIG}')
        device.start()
        with server.client() as client:
            until(lambda: client.device(DEVICE).last_seen_at)
        out = tmp_path / "bundle.tar.gz"
        done = diagnose(server, DEVICE, out)
        assert done.returncode == 0, done.stderr + device.log()

        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        with tarfile.open(out) as archive:
            parts = {
                member.name.partition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
                for member in archive
            }
        assert {"doctor.json", "status.json", "identity.json", "config.json"} <= set(parts)
        assert all(token.encode() not in data for data in parts.values())
        assert b"(hidden)" in parts["config.json"]
        assert not (device.folder / "diagnosis.tar.gz").exists()
        with server.client() as client:
            lines = list(client.audit())
        assert any(
            line.action.endswith(f"/devices/{DEVICE}/diagnoses") and line.status == 200
            for line in lines
        )


def test_the_poll_names_a_request_until_it_is_answered_by_that_device(server: Server) -> None:
    device, other = polled(server, "asked"), polled(server, "other")
    with server.client() as client:
        asked = client.ask_diagnosis("asked")
        assert client.ask_diagnosis("asked").id == asked.id
        href = device.poll()[LINK_DIAGNOSIS]
        assert LINK_DIAGNOSIS not in other.poll()
        typed = {"Content-Type": DIAGNOSIS_TYPE}

        def post(body: bytes) -> int:
            return device.ask("POST", href, body=body, headers=typed).status

        stolen = href.replace("/asked/", "/other/")
        assert other.ask("POST", stolen, body=GZIP, headers=typed).status == 404
        assert server.ask("POST", href.removeprefix(server.url), body=GZIP).status == 401
        assert post(b"no gzip") == 400
        assert post(GZIP + bytes(MAX_DIAGNOSIS_BYTES)) == 413
        assert client.diagnosis("asked", asked.id).state == "waiting"
        assert post(GZIP) == 200
        assert post(GZIP) == 410
        assert LINK_DIAGNOSIS not in device.poll()
        assert client.diagnosis("asked", asked.id).state == "here"
        assert client.diagnosis_bundle("asked", asked.id) == GZIP


def test_a_device_that_can_make_none_says_why(server: Server, tmp_path: Path) -> None:
    device = polled(server, "full")
    with server.client() as client:
        asked = client.ask_diagnosis("full")
        href = device.poll()[LINK_DIAGNOSIS]
        assert device.ask("POST", href, body={"problem": "no room"}).status == 200
        seen = client.diagnosis("full", asked.id)
    assert (seen.state, seen.problem) == ("failed", "no room")


def test_a_device_that_never_came_is_not_asked(server: Server, tmp_path: Path) -> None:
    SimulatedDevice.enrol(server, "silent")
    done = diagnose(server, "silent", tmp_path / "out.tar.gz")
    assert done.returncode == ConflictError.exit_code
    assert "is offline: it has never polled" in done.stderr
    assert not (tmp_path / "out.tar.gz").exists()


def test_bundles_are_forgotten_after_a_week_and_offline_devices_refused(tmp_path: Path) -> None:
    database = SqlDatabase.open(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    try:
        database.migrate()
        service = DiagnosisService(database, poll_interval_s=30.0)
        device = DeviceRecord(
            id="d", token_sha256="0" * 64, enrolled_by="", enrolled_at=NOW, last_seen_at=NOW
        )
        with database.write() as tables:
            tables.devices.put(device)
        asked = service.ask("d", by="ann", now=NOW + timedelta(minutes=5))
        service.take("d", asked.id, GZIP, now=NOW)
        with pytest.raises(ConflictError, match="not polled since"):
            service.ask("d", by="ann", now=NOW + timedelta(minutes=5, seconds=1))
        service.forget(now=NOW + KEPT)
        assert service.bundle("d", asked.id) == GZIP
        service.forget(now=NOW + KEPT + timedelta(minutes=6))
        with database.write() as tables:
            assert tables.diagnoses.get(asked.id) is None
            tables.devices.put(replace(device, last_seen_at=NOW + KEPT))
        assert service.ask("d", by="ann", now=NOW + KEPT).id > asked.id
    finally:
        database.close()
