"""Requests that Schemathesis makes from the server's own OpenAPI: never a 500, never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error

from tests.integration.server_fleet import Engineer, Server, SimulatedDevice, configured

pytestmark = pytest.mark.integration

_EXAMPLES = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = configured(tmp_path_factory.mktemp("fuzz") / "data")
    (data / "server.toml").write_text("[downloads]\npublic = true\n")
    with Server(data) as server:
        engineer = Engineer.create(server, tmp_path_factory.mktemp("engineer"))
        engineer.publish("1.0.0")
        yield server


def test_no_request_of_the_openapi_is_a_500(server: Server) -> None:
    device = SimulatedDevice.enrol(server, "fuzzed")
    schema = schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json")
    found: list[Any] = list(schema.get_all_operations())
    operations = [one.ok() for one in found]
    assert len(operations) > 30
    assert any(operation.path.startswith("/bundles/") for operation in operations)
    for operation in operations:
        of_devices = operation.path.startswith("/DEFAULT/controller")
        scheme = f"TargetToken {device.token}" if of_devices else f"Bearer {server.token}"
        _fuzz(operation, scheme, device, server)
    assert server.ask("GET", "/api/v1/health").status == 200
    assert "Traceback" not in server.log()


def _fuzz(operation: Any, scheme: str, device: SimulatedDevice, server: Server) -> None:
    @hypothesis.settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def send(case: Any) -> None:
        if "device_id" in case.path_parameters:
            case.path_parameters["device_id"] = device.name
        answer = case.call(headers={"Authorization": scheme})
        case.validate_response(answer, checks=[not_a_server_error])
        assert server.token.encode() not in answer.content
        assert device.token.encode() not in answer.content

    send()
