"""The server is gone for a week by a simulated clock: the spool is bounded, the books balance."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from device_agent.ddi import Ddi
from device_agent.identity import Identity
from device_agent.spool import Spool
from device_agent.transport import Transport
from device_agent.uploader import Uploader
from device_agent.worker.messages import Mode
from device_agent.worker.recorder import Recorder
from edgekit.errors import NetworkError
from tests.integration.agent_fleet import Fleet
from tests.integration.agent_fleet_http import BASE, DEVICE, TOKEN

pytestmark = [pytest.mark.integration, pytest.mark.slow]
WINDOW_S = 60.0
WEEK_S = 7 * 24 * 3600.0
CAP_BYTES = 1 << 20


class SimulatedClock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_simulated_week_without_a_server_loses_only_what_is_counted_as_lost(
    tmp_path: Path, fleet: Fleet
) -> None:
    clock, path = SimulatedClock(), tmp_path / "spool.sqlite"
    spool = Spool(path, max_bytes=CAP_BYTES)
    recorder = Recorder(
        spool,
        model="digits",
        digest="d" * 64,
        boot_id="b",
        window_s=WINDOW_S,
        deadline_ms=0.0,
        clock=clock,
        rss_mb=lambda: 50.0,
    )
    identity = Identity(server=fleet.url, device_id=DEVICE, token=TOKEN)
    headers = {"Authorization": identity.authorization}
    transport = Transport(fleet.url, headers)
    uploader = Uploader(
        Ddi(transport, identity),
        Spool(path, max_bytes=CAP_BYTES),
        url=lambda: f"{fleet.url}{BASE}/telemetry",
        interval_s=WINDOW_S,
        boot_id="b",
        clock=clock,
        rng=random.Random(1),
    )
    fleet.stop()
    recorder.open(Mode.STEADY)
    until_s, tries = clock.now_s + WEEK_S, 0
    while clock.now_s < until_s:
        recorder.answered(0.004, label="dark", confidence=0.9)
        recorder.answered(0.009, label="left", confidence=0.4)
        clock.now_s += WINDOW_S
        recorder.tick()
        if clock.now_s % 43200 < WINDOW_S:
            tries += 1
            with pytest.raises(NetworkError):
                uploader.send_all()
    facts = spool.facts()
    assert tries == 14
    assert facts.windows == WEEK_S / WINDOW_S
    assert facts.waiting_bytes <= CAP_BYTES
    assert facts.dropped == facts.windows - facts.waiting > 0
    files = sum(p.stat().st_size for p in tmp_path.glob("spool.sqlite*"))
    assert files < 8 * CAP_BYTES

    fleet.start()
    uploader.send_all()
    transport.close()
    came = [fleet.windows[key] for key in sorted(fleet.windows, key=lambda key: key[1])]
    assert spool.facts().waiting == 0
    assert len(came) == fleet.deliveries == facts.waiting
    assert len(came) + sum(w["dropped_windows"] for w in came) == facts.windows
    assert [w["seq"] for w in came] == list(range(facts.dropped + 1, facts.windows + 1))
    assert fleet.inferences() == 2 * len(came)
