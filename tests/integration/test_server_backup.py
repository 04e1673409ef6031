"""Backup and restore of a real server: also over to PostgreSQL, and for devices that saw more."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from edgekit.errors import ConflictError, FormatError, TrustError, UsageError
from edgekit.trust.keystore import KeyStore
from fleet_server.keeping import back_up_server, restore_server
from fleet_server.services.config import ServerConfig, load_config
from tests.integration.server_fleet import PASSPHRASE, Engineer, Server, SimulatedDevice, drive

pytestmark = pytest.mark.integration

SECRET = "of a backup, long enough"


def restored(data: Path, file: Path, **settings: str) -> Server:
    data.mkdir(mode=0o700)
    lines = [f'{name} = "{value}"\n' for name, value in settings.items()]
    (data / "server.toml").write_text("".join(lines))
    restore_server(load_config(data, {}), file, passphrase=SECRET)
    return Server(data)


@pytest.mark.parametrize("onto", ["sqlite", "postgresql"])
def test_a_restored_server_goes_on_with_its_devices(
    onto: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "fleet.tar"
    with Server(tmp_path / "data") as server:
        engineer = Engineer.create(server, tmp_path / "engineer")
        engineer.publish("1.0.0")
        device = SimulatedDevice.enrol(server, "d1", labels={"site": "osaka"})
        rollout = engineer.roll_out("1.0.0")
        assert drive(server, [device], rollout.id).phase == "finished"
        back_up_server(ServerConfig(data=server.data), file, passphrase=SECRET)
        engineer.publish("2.0.0")  # a device may have seen what the backup does not hold
        seen = server.ask("GET", "/DEFAULT/tuf/metadata/timestamp.json").json["signed"]["version"]
        actions = [server.client().deployments(rollout.id)[0].action]
        port = server.port
    settings = {"database": str(request.getfixturevalue("postgres_url"))}
    again = restored(tmp_path / "again", file, **(settings if onto == "postgresql" else {}))
    again.port = port
    again.start()
    try:
        newest = again.ask("GET", "/DEFAULT/tuf/metadata/timestamp.json").json["signed"]["version"]
        assert newest > seen
        device.server = again
        assert "deploymentBase" not in device.poll()
        with again.client() as client:
            assert client.device("d1").labels == {"site": "osaka"}
            assert client.rollout(rollout.id).phase == "finished"
            assert client.telemetry("d1")[0].windows >= 2
            assert [r.version for r in client.releases()] == ["1.0.0"]
        # The engineer publishes what is missing; the device goes on with a number never used.
        keys = KeyStore.open(tmp_path / "engineer" / "keys", PASSPHRASE)
        engineer = Engineer(again, engineer.folder, keys)
        with pytest.raises(TrustError, match="older than version"):
            engineer.publish("2.1.0")
        keys.accept_restore()
        engineer.publish("2.1.0")
        second = engineer.roll_out("2.1.0")
        assert drive(again, [device], second.id).phase == "finished"
        with again.client() as client:
            assert client.deployments(second.id)[0].action > actions[0] + 999_999
    finally:
        again.stop()


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backup")
    server = Server(folder / "data")
    server.init()
    back_up_server(ServerConfig(data=server.data), folder / "one.tar", passphrase=SECRET)
    return folder / "one.tar"


def test_the_keys_in_a_backup_are_encrypted_and_no_token_is_in_it(backup: Path) -> None:
    token = (backup.parent / "data" / "admin.token").read_bytes().strip()
    assert token not in backup.read_bytes()
    with tarfile.open(backup) as archive:
        names = archive.getnames()
        for name in ("keys/snapshot.pem", "keys/timestamp.pem"):
            found = archive.extractfile(name)
            assert found is not None
            assert found.read().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert "tables/kept_answers.jsonl" not in names
    assert oct(backup.stat().st_mode)[-3:] == "600"


def test_a_backup_opens_with_its_passphrase_only_and_overwrites_nothing(
    backup: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="passphrase"):
        restore_server(ServerConfig(data=tmp_path / "a"), backup, passphrase="wrong one")
    assert not (tmp_path / "a" / "admin.token").exists()
    with pytest.raises(ConflictError):
        restore_server(ServerConfig(data=backup.parent / "data"), backup, passphrase=SECRET)
    with pytest.raises(ConflictError):
        back_up_server(ServerConfig(data=backup.parent / "data"), backup, passphrase=SECRET)
    with pytest.raises(UsageError, match="at least"):
        back_up_server(
            ServerConfig(data=backup.parent / "data"), tmp_path / "b.tar", passphrase="short"
        )


@pytest.mark.parametrize("name", ["../evil", "keys/../../evil.pem", "/etc/evil", "blobs/evil"])
def test_a_forged_backup_writes_nothing_outside(backup: Path, tmp_path: Path, name: str) -> None:
    forged = tmp_path / "forged.tar"
    with tarfile.open(backup) as before, tarfile.open(forged, "w") as after:
        for member in before.getmembers():
            after.addfile(member, before.extractfile(member))
        after.addfile(tarfile.TarInfo(name))
    with pytest.raises(FormatError, match="no backup holds"):
        restore_server(ServerConfig(data=tmp_path / "x" / "y"), forged, passphrase=SECRET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forged.tar", "x"]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["y"]


def test_what_is_no_backup_is_refused(backup: Path, tmp_path: Path) -> None:
    for name, data in (("a", b"x" * 2000), ("b", b""), ("c", backup.read_bytes()[:3000])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError):
            restore_server(
                ServerConfig(data=tmp_path / f"d{name}"), tmp_path / name, passphrase=SECRET
            )


def test_the_commands_back_up_and_restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_PASSPHRASE", SECRET)
    server = Server(tmp_path / "data")
    server.init()
    server.command("backup", str(server.data), str(tmp_path / "b.tar"))
    said = server.command("restore", str(tmp_path / "b.tar"), str(tmp_path / "again")).stdout
    assert b"admin.token" in said
    assert oct((tmp_path / "again" / "keys" / "online.secret").stat().st_mode)[-3:] == "600"
