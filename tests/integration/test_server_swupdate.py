"""SWUpdate, unmodified, pulls from this server: it installs, resumes and confirms."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from edgekit.client.publishing import ForeignFile, publish
from tests.integration.server_fleet import Engineer, Server, everybody, now, until
from tests.integration.swupdate import CuttingProxy, make_certificate, make_update, running

pytestmark = [
    pytest.mark.integration,
    pytest.mark.needs("swupdate"),
    pytest.mark.needs("cpio"),
    pytest.mark.needs("openssl"),
]


@pytest.mark.slow
def test_swupdate_installs_resumes_and_confirms(tmp_path: Path) -> None:
    target, payload = tmp_path / "installed.bin", bytes(range(256)) * 12_000
    signer = make_certificate(tmp_path)
    with Server(tmp_path / "server") as server:
        engineer = Engineer.create(server, tmp_path, "camera")
        update = make_update(
            tmp_path, version="1.0.0", payload=payload, target=target, signer=signer
        )
        with server.client() as client:
            publish(
                client,
                model="camera",
                version="1.0.0",
                bundles=(),
                keystore=engineer.keystore,
                now=now(),
                foreign=(ForeignFile(path=update, variant="swu", client="swupdate"),),
            )
            added = client.add_device("box", {"client": "swupdate"})
            rollout = engineer.roll_out("1.0.0", model="camera", **everybody())
            with CuttingProxy(server.port, cut_after=1_000_000) as proxy:
                box = partial(running, tmp_path, proxy.url, device="box", token=added.token)
                with box(certificate=signer[0]) as log:
                    until(target.exists)
                    until(lambda: target.read_bytes() == payload)
                    until(lambda: client.history("box")[0].state == "downloading")
                assert proxy.cuts == 1
                assert any(b"\r\nRange: bytes=" in r for r in proxy.requests), log.read_text()
                with box(certificate=signer[0], confirm=True):
                    until(lambda: client.history("box")[0].state == "reported")
            (entry,) = client.history("box")
            assert (entry.model, entry.version, entry.variant) == ("camera", "1.0.0", "swu")
            view = client.device("box")
            assert view.committed == {"camera": "1.0.0"}
            assert view.running == {}  # it cannot say, and nobody says so for it
            assert client.rollout(rollout.id).phase != "finished"  # reported is no evidence
