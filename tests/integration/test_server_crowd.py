"""Many devices return at once to a real server: each is answered, or told when to come again.

The devices are simulated; their connections, the server and its database are real.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.crowd import Crowd, come
from benchmarks.fleets import device_id, register, token
from edgekit.protocol import TENANT
from tests.integration.server_fleet import Engineer, Server

pytestmark = pytest.mark.integration

DEVICES = 1500


def test_a_crowd_is_told_to_come_again_and_everybody_is_served(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.init()
    (server.data / "server.toml").write_text("[limits]\nrequests_at_once = 100\n")
    register(server.data, range(DEVICES))
    server.start()
    Engineer.create(server, tmp_path / "engineer")
    polls = tuple(
        f"GET /{TENANT}/controller/v1/{device_id(index)} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: TargetToken {token(index)}\r\n\r\n"
        for index in range(DEVICES)
    )
    done = come(Crowd(port=server.port, requests=polls, patience_s=300.0))
    assert done.errors == {}
    assert set(done.statuses) <= {"200", "429", "503"}
    assert done.statuses["200"] == DEVICES
    assert done.statuses["503"] > 0
    again = come(Crowd(port=server.port, requests=polls, patience_s=300.0))
    assert again.statuses == {"200": DEVICES}, "known by heart, so that it is never too much"
    server.stop()
