"""A device that renews its token, and one that was away for long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgekit.delta import make_delta
from tests.integration.agent_fleet import CONFIG, Device, Fleet, quiet_end, wait_for
from tests.integration.agent_fleet_http import TOKEN
from tests.integration.agent_models import make_bundle
from tests.integration.shims import moved_date

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SHORT = CONFIG.replace("duration_s = 1.0", "duration_s = 0.2")
OFTEN = "token_days = 0.00001\n" + SHORT
HALF_A_YEAR = timedelta(days=182)


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        device.configure(OFTEN)
        device.enrol()
        yield device


def token_of(device: Device) -> str:
    return str(json.loads((device.folder / "identity.json").read_text())["token"])


def token_since(device: Device) -> datetime:
    since_s = json.loads((device.folder / "identity.json").read_text())["token_since_s"]
    return datetime.fromtimestamp(since_s, UTC)


def test_an_old_token_is_renewed_and_a_kill_at_any_moment_leaves_a_good_one(
    device: Device, fleet: Fleet
) -> None:
    fleet.gives_tokens = True
    for _ in range(3):
        given = fleet.given
        device.start()
        wait_for(lambda given=given: fleet.given >= given + 2)  # type: ignore[misc]
        device.kill()
        assert token_of(device) in fleet.tokens
    assert TOKEN not in fleet.tokens
    assert (device.folder / "identity.json").stat().st_mode & 0o777 == 0o600
    polls = fleet.polls
    device.start()
    wait_for(lambda: fleet.polls > polls + 2)
    assert device.stop() == 0


@pytest.mark.needs("cc")
def test_after_half_a_year_away_one_update_brings_a_device_back(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    device.configure("token_days = 90\n" + SHORT)
    fleet.gives_tokens = True
    first = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    wait_for(lambda: first.closed)
    assert device.stop() == 0
    assert (fleet.given, token_of(device)) == (0, TOKEN)

    # Meanwhile, over half a year: the root was replaced five times, releases came and went, and
    # the delta on offer begins at a bundle that this device never had.
    for turn in range(5):
        fleet.now += HALF_A_YEAR / 5
        fleet.new_root()
        missed = make_bundle(tmp_path / "bundles", f"2.{turn}.0", shift=turn / 10)
        gone = fleet.offer(missed)
        gone.closed.append({"execution": "closed"})
    last = make_bundle(tmp_path / "bundles", "3.0.0", shift=0.7)
    delta = make_delta(missed.path.read_bytes(), last.path.read_bytes())
    fleet.deltas[str(len(fleet.offers) + 1)] = (missed.sha256, delta)
    fleet.ranges.clear()
    offer = fleet.offer(last)

    device.environment = moved_date(HALF_A_YEAR, tmp_path)
    device.start()
    wait_for(lambda: offer.closed)
    assert offer.outcome[0] == "unexercised"
    wait_for(lambda: fleet.running == f"digits={last.sha256}")
    assert fleet.ranges == [""]  # the whole bundle, once
    wait_for(lambda: TOKEN not in fleet.tokens)
    assert (fleet.given, token_of(device)) == (1, fleet.tokens[-1])  # the old one was over 90 days
    assert abs(token_since(device) - fleet.now) < timedelta(days=1)
    wait_for(lambda: device.model().get("serving"))
    assert device.model()["version"] == "3.0.0"
    assert [len(o.closed) for o in fleet.offers] == [1] * 7


@pytest.mark.needs("cc")
def test_metadata_of_half_a_year_ago_installs_nothing(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    """The date really moves: what a server did not sign again has expired by then."""
    offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.environment = moved_date(HALF_A_YEAR, tmp_path)
    device.start()
    wait_for(lambda: offer.closed or "expired" in device.log())
    assert not offer.closed or offer.outcome[0] == "rejected"
    assert device.model() == {}
