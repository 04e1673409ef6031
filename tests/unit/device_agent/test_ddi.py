"""What a device reads and says in DDI, with a transport that only writes down."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from backports import zstd

from device_agent.ddi import Ddi
from device_agent.identity import Identity
from device_agent.journal import Ending
from device_agent.transport import Answer, Transport
from edgekit.errors import FormatError
from edgekit.protocol import DeploymentKind, Outcome, Reason, TelemetryBatch

IDENTITY = Identity(server="http://fleet", device_id="a/b", token="t")
BASE = "http://fleet/DEFAULT/controller/v1/a%2Fb"


class Written(Transport):
    """Answers with what it was given and keeps what it was asked."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__("http://fleet", {})
        self.answer = json.dumps(answer).encode()
        self.asked: list[tuple[str, str, Any]] = []

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        self.asked.append((method, url, json.loads(body) if body else dict(headers or {})))
        return Answer(status=200, body=self.answer)


def deployment(**changed: Any) -> dict[str, Any]:
    artifact = {
        "filename": "f",
        "hashes": {"sha256": "A" * 64},
        "size": 5,
        "_links": {"download-http": {"href": "http://fleet/f"}},
    }
    chunk = {
        "part": "bApp",
        "version": "1.0.0",
        "name": "digits",
        "artifacts": [artifact],
        "metadata": [{"key": "edgekit:kind", "value": "rollback"}],
    }
    body = {"download": "forced", "update": "forced", "chunks": [chunk]}
    return {"id": "8", "deployment": body, "unknown": 1, **changed}


def test_a_poll_says_what_runs() -> None:
    transport = Written({"config": {"polling": {"sleep": "00:01:00"}}, "_links": {}})
    poll = Ddi(transport, IDENTITY).poll({"b": "2", "a": "1"})
    assert transport.asked == [("GET", BASE, {"EdgeKit-Running": "a=1,b=2"})]
    assert (poll.sleep_s, poll.deployment, poll.telemetry) == (60.0, "", "")


def test_a_deployment_is_read() -> None:
    wanted = Ddi(Written(deployment()), IDENTITY).deployment("http://fleet/d?c=1")
    assert wanted.kind is DeploymentKind.ROLLBACK
    assert wanted.digest == "a" * 64
    assert (wanted.action, wanted.model, wanted.url) == ("8", "digits", "http://fleet/f")
    assert wanted.answer_url == f"{BASE}/deploymentBase/8/feedback"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"id": "../8"}, id="id"),
        pytest.param({"deployment": {"download": "", "update": "", "chunks": []}}, id="no-chunks"),
        pytest.param({"deployment": 1}, id="no-deployment"),
    ],
)
def test_a_deployment_that_cannot_be_installed_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        Ddi(Written(deployment(**changed)), IDENTITY).deployment("http://fleet/d")


@pytest.mark.parametrize(
    ("outcome", "finished"),
    [
        (Outcome.COMMITTED, "success"),
        (Outcome.UNEXERCISED, "success"),
        (Outcome.REVERTED, "failure"),
        (Outcome.REJECTED, "failure"),
        (Outcome.FAILED, "failure"),
    ],
)
def test_only_a_commit_is_a_success(outcome: Outcome, finished: str) -> None:
    transport = Written(deployment())
    ddi = Ddi(transport, IDENTITY)
    wanted = ddi.deployment("http://fleet/d")
    ending = Ending(
        action="8", version="1", outcome=outcome, reason=Reason.NAN, digest="d", message="m"
    )
    ddi.closed(wanted, ending)
    status = transport.asked[-1][2]["status"]
    assert status["execution"] == "closed"
    assert status["result"] == {"finished": finished}
    assert status["edgekit"]["outcome"] == outcome
    assert status["edgekit"]["digest"] == "d"


class Receiving(Transport):
    """Takes windows and says what else it takes."""

    def __init__(self, takes: str) -> None:
        super().__init__("http://fleet", {})
        self.takes = {"accept-encoding": takes} if takes else {}
        self.came: list[tuple[str, bytes]] = []

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        self.came.append((dict(headers or {})["Content-Encoding"], body or b""))
        return Answer(status=200, headers=self.takes, body=b'{"accepted":[]}')


def test_windows_go_as_zstd_once_the_server_said_that_it_takes_it() -> None:
    batch = TelemetryBatch(spool_id="s", boot_id="b", sent_mono_s=1.0, windows=())
    for takes, second in (("", "gzip"), ("gzip", "gzip"), ("zstd, gzip", "zstd")):
        server = Receiving(takes)
        ddi = Ddi(server, IDENTITY)
        for _ in range(2):
            ddi.send_windows("http://fleet/t", batch)
        (first, one), (then, two) = server.came
        assert (first, then) == ("gzip", second)
        plain = zlib.decompress(one, wbits=31)
        assert (
            zstd.decompress(two) if second == "zstd" else zlib.decompress(two, wbits=31)
        ) == plain
