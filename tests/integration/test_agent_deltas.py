"""Updates by delta and by a mirror: the server gives the whole bundle where they do not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.delta import make_delta
from tests.integration.agent_fleet import CONFIG, Device, Fleet, Offer, quiet_end, wait_for
from tests.integration.agent_models import make_bundle
from tests.integration.caching_mirror import mirroring

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        device.configure(CONFIG.replace("duration_s = 1.0", "duration_s = 0.2"))
        device.enrol()
        yield device


def updated(fleet: Fleet, tmp_path: Path, version: str, *, delta: bytes, base: str) -> Offer:
    bundle = make_bundle(tmp_path / "bundles", version, shift=len(fleet.offers) / 10)
    fleet.deltas[str(len(fleet.offers) + 1)] = (base, delta)
    offer = fleet.offer(bundle)
    wait_for(lambda: offer.closed)
    assert offer.outcome[0] == "unexercised"
    wait_for(lambda: fleet.running == f"digits={bundle.sha256}")
    return offer


def test_a_delta_takes_the_place_of_the_download_unless_anything_is_wrong_with_it(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    first = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    wait_for(lambda: first.closed)
    old = first.bundle.path.read_bytes()
    second = make_bundle(tmp_path / "again", "2.0.0", shift=0.1).path.read_bytes()

    fleet.ranges.clear()
    good = updated(
        fleet, tmp_path, "2.0.0", delta=make_delta(old, second), base=first.bundle.sha256
    )
    assert fleet.ranges == ["delta"]

    fleet.ranges.clear()
    wrong = make_delta(second, old)
    updated(fleet, tmp_path, "3.0.0", delta=wrong, base=good.bundle.sha256)
    assert fleet.ranges == ["delta", ""]

    fleet.ranges.clear()
    updated(fleet, tmp_path, "4.0.0", delta=wrong, base="0" * 64)
    assert fleet.ranges == [""]
    wait_for(lambda: not list((device.folder / "downloads").iterdir()))


def test_an_update_comes_from_a_mirror_until_that_is_gone(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    kept = make_bundle(tmp_path / "bundles", "1.0.0")
    with mirroring("http://nobody", tmp_path / "mirror") as fleet.mirror:
        (tmp_path / "mirror" / kept.sha256).write_bytes(kept.path.read_bytes())
        (tmp_path / "mirror" / "mode").write_text("good")
        first = fleet.offer(kept)
        device.start()
        wait_for(lambda: first.closed)
        assert (first.outcome[0], fleet.ranges) == ("unexercised", [])
    second = fleet.offer(make_bundle(tmp_path / "bundles", "2.0.0", shift=0.1))
    wait_for(lambda: second.closed)
    assert (second.outcome[0], fleet.ranges) == ("unexercised", [""])
