"""A server on several machines: folders that share nothing but a database, a bucket and a secret.

PostgreSQL, both servers and the agent are real; the bucket is moto's server, which simulates S3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.client.http import FleetClient
from edgekit.client.publishing import publish
from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.errors import ConflictError, TrustError, UsageError
from edgekit.trust.keystore import KeyStore
from fleet_server.keeping import join_server
from fleet_server.main import create_app, initialise
from fleet_server.membership import found
from fleet_server.services.config import ServerConfig, load_config
from fleet_server.store.database import SqlDatabase
from tests.integration.agent_fleet import CONFIG, Device, quiet_end
from tests.integration.agent_fleet_http import DEVICE
from tests.integration.agent_models import BRIGHT, DARK, make_bundle
from tests.integration.server_fleet import PASSPHRASE, Engineer, Server, configured, now, until

pytestmark = pytest.mark.integration


@dataclass
class EnrolledAt:
    """Where a device under test is enrolled, and whose token does it."""

    server: Server
    token: str

    def enrolment_file(self) -> dict[str, Any]:
        with FleetClient(self.server.url, self.token) as client:
            made = client.create_enrolment_token(NewEnrolmentToken())
        return {"server": self.server.url, "token": made.token, "root_sha256": made.root_sha256}


def samples(folder: Path) -> str:
    folder.mkdir()
    for index, image in enumerate((DARK, BRIGHT)):
        np.save(folder / f"{index}.npy", image)
    return f'[source]\nfolder = "{folder}"\nrate_hz = 50\n'


@pytest.mark.slow
def test_what_is_published_on_one_machine_is_installed_from_another(
    postgres_url: str, bucket: str, tmp_path: Path
) -> None:
    shared = {"database": postgres_url, "blobs": "s3://bundles", "blobs_endpoint": bucket}
    one = Server(configured(tmp_path / "one", **shared))
    two = Server(configured(tmp_path / "two", **shared))
    with one:
        Engineer.create(one, tmp_path / "engineer")
        two.command(
            "join", str(two.data), "--secret-file", str(one.data / "keys" / "online.secret")
        )
        two.start()
        try:
            _install_from_two(one, two, tmp_path)
        finally:
            two.stop()
    for server in (one, two):
        left = {path.name for path in server.data.iterdir()}
        assert "trust" not in left
        assert [path.name for path in (server.data / "keys").iterdir()] == ["online.secret"]


def _install_from_two(one: Server, two: Server, folder: Path) -> None:
    enrolled: Any = EnrolledAt(two, one.token)
    with quiet_end(Device(folder / "device", enrolled)) as device:
        device.configure(CONFIG + samples(folder / "samples"))
        device.enrol()
        device.start()
        keystore = KeyStore.open(folder / "engineer" / "keys", PASSPHRASE)
        engineer = Engineer(one, folder / "engineer", keystore)
        bundle = make_bundle(folder / "bundles", "1.0.0")
        with one.client() as client:
            publish(
                client,
                model="digits",
                version="1.0.0",
                bundles=[bundle.path],
                keystore=keystore,
                now=now(),
            )
        rollout = engineer.roll_out("1.0.0")
        until(lambda: _phase(one, rollout.id) == "finished")
        with FleetClient(two.url, one.token) as client:
            until(lambda: client.device(DEVICE).running == {"digits": bundle.sha256})


def _phase(server: Server, rollout: str) -> str:
    with server.client() as client:
        return str(client.rollout(rollout).phase)


def starts(data: Path) -> None:
    server = Server(data)
    server.start()
    server.stop()


def test_a_machine_joins_with_the_secret_of_its_server_only(
    postgres_url: str, tmp_path: Path
) -> None:
    one, two = (
        load_config(configured(tmp_path / name, database=postgres_url), {}) for name in "12"
    )
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    with pytest.raises(UsageError, match="no server yet"):
        join_server(two, wrong)
    initialise(one)
    with pytest.raises(ConflictError, match="has this database already"):
        initialise(two)
    with pytest.raises(UsageError, match="no server in this folder"):
        create_app(two)
    with pytest.raises(TrustError, match="does not open"):
        join_server(two, wrong)
    assert not two.online_secret.exists()
    join_server(two, one.online_secret)
    starts(tmp_path / "2")
    assert two.online_secret.stat().st_mode & 0o777 == 0o600


def test_a_secret_may_lie_elsewhere(postgres_url: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "mounted"
    elsewhere.write_text("f" * 64)
    where = {"database": postgres_url, "online_secret_file": str(elsewhere)}
    one, two = (load_config(configured(tmp_path / name, **where), {}) for name in "12")
    initialise(one)
    starts(tmp_path / "2")
    assert not (tmp_path / "1" / "keys").exists()
    elsewhere.write_text("too short")
    with pytest.raises(UsageError, match="fewer than"):
        create_app(two)


def test_keys_are_sealed_in_the_database(tmp_path: Path) -> None:
    config = ServerConfig(data=tmp_path / "data")
    initialise(config)
    database = SqlDatabase.open(config.database_url)
    with database.read() as tables:
        pems = tables.online_keys.all()
    found(config, database)  # again changes nothing
    with database.read() as tables:
        assert tables.online_keys.all() == pems
    database.close()
    assert set(pems) == {"snapshot", "timestamp"}
    for pem in pems.values():
        assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert config.online_secret.read_bytes().strip() not in b"".join(
        path.read_bytes() for path in config.data.glob("fleet.sqlite*")
    )
