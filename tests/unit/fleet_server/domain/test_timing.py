"""When offers may be made."""

from datetime import UTC, datetime

import pytest

from edgekit.errors import UsageError
from fleet_server.domain.policy import parse_policy
from fleet_server.domain.timing import Day, MaintenanceWindow, is_open

NIGHT = MaintenanceWindow(start="22:00", end="05:00", days=(Day.SAT,))
TOKYO = MaintenanceWindow(start="02:00", end="04:00", timezone="Asia/Tokyo")
BERLIN = MaintenanceWindow(start="02:00", end="03:00", timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("window", "at", "opened"),
    [
        (NIGHT, "2026-11-21T21:59:59", False),
        (NIGHT, "2026-11-21T22:00:00", True),
        (NIGHT, "2026-11-22T04:59:59", True),
        (NIGHT, "2026-11-22T05:00:00", False),
        (NIGHT, "2026-11-21T03:00:00", False),
        (NIGHT, "2026-11-22T23:00:00", False),
        (TOKYO, "2026-11-20T17:00:00", True),
        (TOKYO, "2026-11-20T19:00:00", False),
        (BERLIN, "2026-07-01T00:30:00", True),
        (BERLIN, "2026-12-01T01:30:00", True),
        (BERLIN, "2026-12-01T00:30:00", False),
    ],
)
def test_a_window_is_open_by_its_own_clock(
    window: MaintenanceWindow, at: str, opened: bool
) -> None:
    assert is_open([window], datetime.fromisoformat(at).replace(tzinfo=UTC)) is opened


def test_without_a_window_it_is_always_open() -> None:
    assert is_open([], datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"windows": [{"start": "2:00", "end": "05:00"}]}, "windows\\[0\\].start"),
        ({"windows": [{"start": "02:00", "end": "25:00"}]}, "windows\\[0\\].end"),
        ({"windows": [{"start": "02:00", "end": "03:00", "timezone": "Moon"}]}, "timezone"),
        ({"windows": [{"start": "02:00", "end": "03:00", "day": "mon"}]}, "windows\\[0\\].day"),
        ({"rate_limit": {"devices": 0}}, "rate_limit"),
        ({"rate_limit": {"devices": 1, "per": 5}}, "rate_limit.per"),
        ({"holdback": 100}, "holdback"),
        ({"not_before": "2026-11-21T12:00:00"}, "time zone"),
        ({"selector": "a b"}, "selector"),
        ({"stages": [{"selector": "a b"}, {"percent": 100}]}, "stages\\[0\\].selector"),
        ({"stages": [{"selector": "a", "devices": 1}, {"percent": 100}]}, "exactly one"),
        ({"stages": [{"percent": 5}, {"selector": "a"}, {"percent": 100}]}, "only a stage by"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_by_name(more: dict[str, object], names: str) -> None:
    with pytest.raises(UsageError, match=names):
        parse_policy({"stages": [{"percent": 100}], **more}, "file")
