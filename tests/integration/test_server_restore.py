"""A backup of a server on PostgreSQL, restored, and a real TUF client that saw newer metadata.

Both servers, the databases and the client's trust store are real; nothing older than what the
client has seen may be accepted in silence, and the documented step must bring it on again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekit.errors import TrustError
from edgekit.trust.fetching import HttpFetch
from edgekit.trust.keystore import KeyStore
from edgekit.trust.policy import bundle_path
from edgekit.trust.reasons import Reason, UntrustedError
from edgekit.trust.targets import TargetInfo
from edgekit.trust.verifying import Clock, TrustStore
from fleet_server.keeping import back_up_server, restore_server
from fleet_server.services.config import load_config
from tests.integration.postgres import fresh_database
from tests.integration.server_fleet import PASSPHRASE, Engineer, Server, configured, now

pytestmark = pytest.mark.integration

SECRET = "of a backup, long enough"
TUF = "/DEFAULT/tuf/metadata/"


@dataclass
class Watcher:
    """A device's trust store, and the server that it asks."""

    server: Server
    store: TrustStore

    @classmethod
    def pinned(cls, server: Server, folder: Path) -> Watcher:
        root = server.ask("GET", f"{TUF}1.root.json").body
        store = TrustStore(folder)
        store.pin(root, sha256=hashlib.sha256(root).hexdigest())
        return cls(server, store)

    def ask(self, version: str) -> TargetInfo:
        names = {"model": "digits", "version": version, "variant": "onnx-fp32"}
        fetch = HttpFetch(f"{self.server.url}{TUF}", {})
        clock = Clock(now=now(), synchronised=True)
        return self.store.target(bundle_path(**names), **names, fetch=fetch, clock=clock)


def restored(folder: Path, file: Path, database: str) -> Server:
    data = configured(folder, **({"database": database} if database else {}))
    restore_server(load_config(data, {}), file, passphrase=SECRET)
    return Server(data)


@pytest.mark.parametrize("onto", ["sqlite", "postgresql"])
def test_a_client_that_saw_newer_metadata_accepts_no_older_and_goes_on_after_the_step(
    onto: str, postgres_server: str, postgres_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.tar"
    with Server(configured(tmp_path / "data", database=postgres_url)) as server:
        engineer = Engineer.create(server, tmp_path / "engineer")
        engineer.publish("1.0.0")
        client = Watcher.pinned(server, tmp_path / "device")
        assert "1.0.0" in client.ask("1.0.0").path
        back_up_server(load_config(server.data, {}), file, passphrase=SECRET)
        engineer.publish("2.0.0")
        assert "2.0.0" in client.ask("2.0.0").path
    with fresh_database(postgres_server) as url:
        again = restored(tmp_path / "again", file, url if onto == "postgresql" else "")
        again.start()
        try:
            _goes_on(client, again, engineer.folder)
        finally:
            again.stop()


def _goes_on(client: Watcher, again: Server, folder: Path) -> None:
    client.server = again
    for version in ("1.0.0", "2.0.0", "1.0.0"):
        with pytest.raises(UntrustedError) as refused:
            client.ask(version)
        assert refused.value.reason is Reason.ROLLBACK
    keys = KeyStore.open(folder / "keys", PASSPHRASE)
    engineer = Engineer(again, folder, keys)
    with pytest.raises(TrustError, match="older than version"):
        engineer.publish("2.1.0")
    keys.accept_restore()
    engineer.publish("2.1.0")
    for version in ("2.1.0", "1.0.0"):
        assert version in client.ask(version).path
    with pytest.raises(UntrustedError) as refused:
        client.ask("2.0.0")  # the backup does not hold it: nobody serves it, and it is said
    assert refused.value.reason is Reason.NOT_LISTED
