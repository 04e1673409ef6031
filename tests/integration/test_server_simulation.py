"""A bad release reaches its canaries and nobody else, and they come back: short form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.simulated_fleet import expose

pytestmark = pytest.mark.integration


@pytest.mark.slow
def test_a_bad_release_reaches_the_canaries_only_and_all_come_back(tmp_path: Path) -> None:
    seen = expose(tmp_path, devices=60, canaries=6, poll_s=1.0, within_s=120, outage_s=3.0)
    assert 1 <= seen.exposed <= 6
    assert seen.client["running"] == {"1.0.0": 60}
    assert seen.client["ran"]["1.0.0"] == 60
    assert set(seen.client["errors"]) <= {"busy", "no answer"}


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_bad_release_in_a_fleet_of_ten_thousand(tmp_path: Path) -> None:
    seen = expose(tmp_path, devices=10_000, canaries=100, poll_s=30.0, within_s=1200, outage_s=60.0)
    print(seen)
    assert 1 <= seen.exposed <= 100
    assert seen.back_s < 180
    assert seen.client["running"] == {"1.0.0": 10_000}
    assert set(seen.client["errors"]) <= {"busy", "no answer"}
