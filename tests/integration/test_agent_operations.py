"""Operating an agent: first boot, private authority, systemd, doctor, Prometheus."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import socket
import ssl
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgekit.demo.processes import free_port
from tests.integration.agent_fleet import CONFIG, Device, Fleet, quiet_end, wait_for
from tests.integration.agent_fleet_http import DEVICE, TOKEN
from tests.integration.agent_models import make_bundle

pytestmark = pytest.mark.integration


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        device.configure(CONFIG)
        yield device


def enrolment(device: Device, **changed: Any) -> Path:
    file = device.folder.parent / "enrolment.json"
    file.write_text(json.dumps({**device.fleet.enrolment_file(), **changed}))
    return file


def test_a_device_enrols_itself_at_its_first_boot_and_erases_the_file(
    device: Device, fleet: Fleet
) -> None:
    file = enrolment(device)
    device.start("", "--enrol-file", str(file), "--id", DEVICE)
    wait_for(lambda: fleet.polls)
    assert not file.exists()
    assert device.stop() == 0
    device.start("", "--enrol-file", str(file))
    polls = fleet.polls
    wait_for(lambda: fleet.polls > polls)


def test_a_token_file_is_for_its_owner_only(device: Device) -> None:
    file, token = enrolment(device, token=""), device.folder.parent / "token"
    without = device.command("enrol", "--file", str(file), "--id", DEVICE)
    assert without.returncode == 2
    assert "--token-file" in without.stderr
    token.write_text("enrol-me\n")
    token.chmod(0o644)
    arguments = ("enrol", "--file", str(file), "--id", DEVICE, "--token-file", str(token))
    open_to_all = device.command(*arguments)
    assert open_to_all.returncode == 2
    assert "chmod 600" in open_to_all.stderr
    token.chmod(0o600)
    assert device.command(*arguments, "--erase").returncode == 0
    assert not file.exists()


def certificates(fleet: Fleet, folder: Path) -> str:
    """Make an authority and a certificate for 127.0.0.1; returns the authority's, PEM."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "private authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fleet")])

    def signed(subject: x509.Name, public: Any, extension: Any) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(ca_name)
        builder = builder.public_key(public).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(fleet.now - timedelta(days=1))
        builder = builder.not_valid_after(fleet.now + timedelta(days=30))
        return builder.add_extension(extension, critical=True).sign(ca_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    ca = signed(ca_name, ca_key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    own = signed(name, key.public_key(), x509.SubjectAlternativeName([address]))
    plain = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.pem").write_bytes(own.public_bytes(pem) + private)
    return ca.public_bytes(pem).decode()


@pytest.mark.slow
def test_a_private_authority_is_believed_and_no_other(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "fleet")
    ca = certificates(fleet, tmp_path)
    fleet.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    fleet.tls.load_cert_chain(tmp_path / "server.pem")
    fleet.start()
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        device.configure(CONFIG)
        stranger = device.command("enrol", "--file", str(enrolment(device)), "--id", DEVICE)
        assert stranger.returncode == 20, stranger.stderr
        assert "CERTIFICATE_VERIFY_FAILED" in stranger.stderr
        file = enrolment(device, ca=ca)
        done = device.command("enrol", "--file", str(file), "--id", DEVICE)
        assert done.returncode == 0, done.stderr
        offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
        device.start()
        wait_for(lambda: offer.closed, why=device.log())
        assert offer.outcome[0] == "unexercised"
    fleet.stop()


@pytest.mark.needs("systemd-analyze")
def test_the_unit_is_one_that_systemd_takes(device: Device, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    folder.mkdir()
    done = device.command("install-service", "--user", "daemon", "--folder", str(folder))
    assert done.returncode == 0, done.stderr
    unit = folder / "edgekit-agent.service"
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "edgekit-agent.service" not in checked.stderr
    assert f"--state {device.folder}" in unit.read_text()


def test_a_path_that_systemd_would_read_otherwise_is_refused(
    device: Device, tmp_path: Path
) -> None:
    odd = Device(tmp_path / "a folder", device.fleet)
    done = odd.command("install-service", "--user", "daemon", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert not list(tmp_path.glob("*.service"))


@pytest.mark.slow
def test_systemd_is_told_when_it_is_ready_alive_and_stopping(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    device.enrol()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(0.05)
        device.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        said: list[bytes] = []

        def hears(message: bytes) -> bool:
            with contextlib.suppress(TimeoutError):
                said.append(systemd.recv(1024))
            return message in said

        device.start()
        wait_for(lambda: hears(b"READY=1"))
        wait_for(lambda: hears(b"WATCHDOG=1"))
        assert device.process is not None
        device.process.terminate()
        wait_for(lambda: hears(b"STOPPING=1"))
        wait_for(lambda: device.process is not None and device.process.poll() == 0)
    assert said.index(b"READY=1") < said.index(b"STOPPING=1")


@pytest.mark.slow
def test_doctor_and_metrics_tell_how_a_device_is(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    port = free_port()
    device.configure(f"metrics_port = {port}\n" + CONFIG)
    device.enrol()
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    wait_for(lambda: offer.closed)

    def told() -> str:
        return str(urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())

    wait_for(lambda: 'edgekit_model_serving{model="digits",version="1.0.0"' in told())
    assert "edgekit_agent_up 1" in told()
    found = json.loads(device.command("doctor", "--json").stdout)
    assert {f["question"] for f in found} == {
        "runtime", "instruction set", "disk", "journal", "model digits", "telemetry", "network",
        "clock", "trust",
    }  # fmt: skip
    assert {f["level"] for f in found} <= {"ok", "warn"}
    device.stop()
    assert "edgekit_agent_up 0" in device.command("metrics").stdout

    bundle = device.folder / "models" / "digits" / offer.bundle.sha256 / "bundle.bundle"
    data = bytearray(bundle.read_bytes())
    data[100] ^= 1
    bundle.write_bytes(data)
    fleet.stop()
    unwell = device.command("doctor")
    assert unwell.returncode == 1
    failed = [line for line in unwell.stdout.splitlines() if line.startswith("fail")]
    assert [line.split()[1] for line in failed] == ["model", "network"]


@pytest.mark.slow
def test_a_diagnosis_holds_the_state_and_no_secret(device: Device, tmp_path: Path) -> None:
    device.enrol()
    (device.folder / "journal.damaged").write_bytes(b"x" * (1 << 20))
    out = tmp_path / "diagnosis.tar.gz"
    assert device.command("diagnose", "--out", str(out)).returncode == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with tarfile.open(out) as archive:
        parts = {
            member.name.partition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
        }
    assert {"doctor.json", "status.json", "identity.json", "config.json"} <= set(parts)
    assert len(parts["journal.damaged"]) == 256 << 10
    assert all(TOKEN.encode() not in data for data in parts.values())


def test_a_token_and_a_root_are_replaced_by_a_person(device: Device, tmp_path: Path) -> None:
    device.enrol()
    token, root = tmp_path / "token", tmp_path / "root.json"
    token.write_text("n" * 64)
    token.chmod(0o600)
    assert device.command("set-token", "--token-file", str(token)).returncode == 0
    identity = device.folder / "identity.json"
    assert json.loads(identity.read_bytes())["token"] == "n" * 64
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600

    other = Fleet(tmp_path / "other")
    root.write_bytes(other.root)
    wrong = device.command("trust-reset", "--root", str(root), "--sha256", "0" * 64)
    assert wrong.returncode == 15
    sha256 = hashlib.sha256(other.root).hexdigest()
    done = device.command("trust-reset", "--root", str(root), "--sha256", sha256)
    assert done.returncode == 0, done.stderr
    index = json.loads((device.folder / "trust" / "current.json").read_bytes())
    assert list(index["files"].values()) == [sha256]
