"""Shadow from the file to the verdict: real server, real agent, real models, one device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.client.publishing import publish
from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.client.wire.rollouts import RolloutView
from tests.integration.agent_fleet import QUICK, Device, quiet_end
from tests.integration.agent_fleet_http import DEVICE
from tests.integration.agent_models import BRIGHT, make_bundle
from tests.integration.server_fleet import Engineer, Server, everybody, now, quick, until
from tests.integration.test_agent_update import Client

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SHADOW = {"fraction": 0.5, "duration_s": 2.0, "min_pairs": 10, "latency_times": 100.0}


@dataclass
class Site:
    """A real server, somebody who publishes real models there, and one real device."""

    server: Server
    engineer: Engineer
    device: Device

    def enrolment_file(self) -> dict[str, str]:
        with self.server.client() as client:
            made = client.create_enrolment_token(NewEnrolmentToken())
        return {
            "server": self.server.url,
            "token": made.token,
            "root_sha256": made.root_sha256,
        }

    def publish(self, version: str, **kind: Any) -> str:
        bundle = make_bundle(self.engineer.folder / "bundles", version, **kind)
        with self.server.client() as client:
            publish(
                client,
                model="digits",
                version=version,
                bundles=[bundle.path],
                keystore=self.engineer.keystore,
                now=now(),
            )
        return bundle.sha256

    def ended(self, version: str, **policy: Any) -> RolloutView:
        rollout = self.engineer.roll_out(version, **policy)
        over = {"finished", "rolled_back", "held"}
        with self.server.client() as client:

            def seen() -> RolloutView | None:
                view = client.rollout(rollout.id)
                return view if view.phase in over else None

            found: RolloutView = until(seen)
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "samples").mkdir()
    np.save(tmp_path / "samples" / "0.npy", BRIGHT)
    with Server(tmp_path / "server") as server:
        device = Device(tmp_path / "device", None)  # type: ignore[arg-type]
        site = Site(server, Engineer.create(server, tmp_path), device)
        device.fleet = site  # type: ignore[assignment]
        with quiet_end(device):
            device.configure(QUICK.format(folder=tmp_path / "samples", rate_hz=50))
            device.enrol()
            device.start()
            site.publish("1.0.0")
            assert site.ended("1.0.0", **everybody()).phase == "finished", device.log()
            yield site


def shadow_first(**shadow: Any) -> dict[str, Any]:
    first = {"percent": 100, "bake_s": 0, "timeout_s": 3600, "shadow": {**SHADOW, **shadow}}
    return {"stages": [first, quick(percent=100)], "gate": {"mode": "must_not_fail"}}


def test_a_candidate_that_disagrees_is_stopped_in_shadow_and_never_answered(site: Site) -> None:
    client = Client(site.device.model()["address"], image=BRIGHT)
    client.start()
    wrong = site.publish("2.0.0", swapped=True)
    ended = site.ended("2.0.0", **shadow_first())
    client.finish()

    assert ended.phase == "rolled_back"
    assert "devices disagree: dev-1" in ended.happenings[-1].text
    assert set(client.versions) == {"1.0.0"}
    assert not client.failures
    with site.server.client() as api:
        assert wrong not in {totals.digest for totals in api.telemetry(DEVICE)}
        history = api.history(DEVICE)
    assert [(h.version, h.activated_at is None) for h in history[-1:]] == [("2.0.0", True)]


def test_a_candidate_that_agrees_is_then_installed(site: Site) -> None:
    right = site.publish("2.0.0", shift=0.1)
    ended = site.ended("2.0.0", **shadow_first())
    assert ended.phase == "finished"
    (judged,) = [h for h in ended.happenings if h.kind == "stage_judged" and h.stage == 0]
    (check,) = [c for c in judged.checks if c.name == "shadow_agreement"]
    assert check.numbers["agreement"] == 1.0
    assert check.numbers["tried"] >= 10
    assert site.device.slots()["active"] == right
    with site.server.client() as api:
        states = [h.state for h in api.history(DEVICE)]
    assert states[-2:] == ["shadowed", "committed"]
