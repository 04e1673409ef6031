"""Power loss during an update: recorded file operations, replayed as crash states of the disk.

The agent under record is the real one with its workers and its verifying process. Every state
is checked by the code that reads it after a boot; some get a whole agent, `make soak` many more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agent.config import Layout
from device_agent.identity import load_identity
from device_agent.journal import Journal, Record
from device_agent.slots import Pointers, SlotStore
from device_agent.spool import Spool
from edgekit.bundle import file_digest
from edgekit.errors import EdgeKitError
from edgekit.trust.cache import TrustCache
from tests.integration.agent_fleet import ANOTHER_BOOT, QUICK, Device, Fleet, Offer, wait_for
from tests.integration.agent_models import BRIGHT, make_bundle
from tests.integration.crash_states import (
    CrashState,
    Disk,
    crash_states,
    mark,
    read_log,
)
from tests.integration.shims import build_shim

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.needs("cc"),
]
SEED = 20261121
KEPT = ("committed", "unexercised")


class Recording:
    """One update of a real device, and every operation on its folder."""

    def __init__(self, folder: Path, **kind: Any) -> None:
        self.folder = folder
        self.fleet = Fleet(folder / "fleet")
        self.fleet.start()
        self.device = Device(folder / "device", self.fleet)
        (folder / "samples").mkdir()
        np.save(folder / "samples" / "0.npy", BRIGHT)
        trial_s = 3.0 if kind.get("nan") else 0.3  # the first NaN ends it
        config = QUICK.replace("duration_s = 0.3", f"duration_s = {trial_s}")
        self.device.configure(config.format(folder=folder / "samples", rate_hz=50))
        self.device.enrol()
        self.before = self._installed("1.0.0")
        self.device.stop()
        self.initial = Disk(self.device.folder)
        log = folder / "log"
        self.fleet.on_closed = lambda: mark(log, "closed")
        self.device.environment = {
            "LD_PRELOAD": str(build_shim("fs_shim", folder)),
            "FS_FOLDER": str(self.device.folder),
            "FS_LOG": str(log),
        }
        self.after = self._installed("2.0.0", shift=0.1, **kind)
        self.device.stop()
        self.device.environment = {}
        self.fleet.on_closed = lambda: None
        self.ops = read_log(log)
        self.said = list(self.after.closed)

    def _installed(self, version: str, **kind: Any) -> Offer:
        offer = self.fleet.offer(make_bundle(self.folder / "bundles", version, **kind))
        self.device.start()
        journal = self.device.folder / "journal.json"
        wait_for(lambda: offer.closed and b'"state":"idle"' in journal.read_bytes())
        return offer

    @cached_property
    def states(self) -> list[CrashState]:
        """What a power cut anywhere in the update may leave."""
        return list(crash_states(self.initial, self.ops, seed=SEED, randoms=24))

    @property
    def outcome(self) -> str:
        return str(self.said[0]["edgekit"]["outcome"])

    def wrong(self, state: CrashState) -> str:
        """Say what is wrong with a state, read as an agent reads it after a boot."""
        state.write(folder := self.folder / "state")
        layout, good = Layout(folder), {self.before.bundle.sha256, self.after.bundle.sha256}
        try:
            load_identity(layout.identity)
            record = Journal(layout.journal).read()
            pointers = SlotStore(layout.models).of("digits").pointers()
            TrustCache(layout.trust).load()
            Spool(layout.spool, max_bytes=1 << 20).close()
        except EdgeKitError as error:
            return str(error)
        slots = SlotStore(layout.models).of("digits")
        if pointers.active not in good or not slots.holds(pointers.active):
            return f"the active bundle {pointers.active[:12]} is not there"
        return self._wrong_record(record, pointers, "closed" in state.marks)

    def _wrong_record(self, record: Record, pointers: Pointers, told: bool) -> str:
        """Say where journal and slots contradict each other, or what the server was told."""
        new = self.after.bundle.sha256
        slots = SlotStore(self.folder / "state" / "models").of("digits")
        if told and self.outcome in KEPT and pointers.active != new:
            return f"reported as {self.outcome}, and not active"
        if told and record.state not in {"reporting", "idle"}:
            return f"reported, and still {record.state}"
        if record.state in {"self_test", "activating", "probation", "committing"}:
            return "" if slots.holds(new) else f"{record.state} without the bundle"
        if record.state == "staging":
            part = self.folder / "state" / "downloads" / f"{new}.part"
            here = slots.holds(new) or (part.is_file() and file_digest(part) == new)
            return "" if here else "staging without the bundle"
        return ""

    def restart(self, state: CrashState) -> None:
        """Boot the real agent on a state and see it come to rest with one report."""
        told = "closed" in state.marks
        self.after.closed[:] = self.said if told else []
        self.fleet.running = ""
        state.write(self.device.folder)
        (self.folder / "boot").write_text(f"boot-{state.after}-{state.how}")
        self.device.start(ANOTHER_BOOT.format(file=str(self.folder / "boot")))
        wait_for(lambda: self.after.closed, why=f"{state.after} {state.how}: nothing reported")
        committed = self.after.closed[0]["edgekit"]["outcome"] in KEPT
        runs = (self.after if committed else self.before).bundle.sha256
        wait_for(lambda: self.fleet.running == f"digits={runs}", why=f"runs {self.fleet.running}")
        self._at_rest(runs)
        assert self.after.outcome in {*((kept, "") for kept in KEPT), ("reverted", "nan_outputs")}
        assert self.device.stop() == 0

    def _at_rest(self, runs: str) -> None:
        device = self.device
        model = device.folder / "models" / "digits"
        journal = device.folder / "journal.json"
        wait_for(lambda: b'"state":"idle"' in journal.read_bytes())
        slots = device.slots()
        assert (slots["active"], slots["trial"]) == (runs, "")
        assert file_digest(model / runs / "bundle.bundle") == runs
        wait_for(lambda: not list((device.folder / "downloads").glob("*")), why="left over")
        held = {slots["active"], slots["previous"]}
        wait_for(lambda: {d.name for d in model.iterdir() if d.is_dir()} <= held, why="left over")
        wait_for(lambda: not list(device.folder.rglob(".new-*")), why="half-written files")

    def close(self) -> None:
        self.device.kill()
        self.fleet.stop()


@pytest.fixture(scope="module", params=[False, True], ids=["good", "nan"])
def recording(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    recording = Recording(tmp_path_factory.mktemp("power"), nan=request.param)
    yield recording
    recording.close()


def test_every_state_after_a_power_cut_is_whole(recording: Recording) -> None:
    states = recording.states
    wrong = [f"{s.after} {s.how}: {why}" for s in states if (why := recording.wrong(s))]
    print(len(recording.ops), "operations", len(states), "states", len(wrong), "wrong")
    assert wrong == []
    assert len(states) >= 500


def test_a_missing_fsync_shows(recording: Recording) -> None:
    """The check itself is checked: without any fsync most states would be broken."""
    careless = [op for op in recording.ops if op.kind != b"s"]
    states = list(crash_states(recording.initial, careless, seed=SEED))[::5]
    wrong = [s for s in states if recording.wrong(s)]
    print(len(wrong), "of", len(states))
    assert len(wrong) > len(states) / 10


def chosen(recording: Recording, count: int) -> list[CrashState]:
    """Return some states, spread over the update, the same ones each time."""
    return sorted(random.Random(SEED).sample(recording.states, count), key=lambda s: s.after)


def half_unpacked(recording: Recording) -> CrashState:
    """Return a state in which a file of the new bundle is half-written in its slot."""
    return next(s for s in recording.states if any("/files/.new-" in name for name in s.tree))


def test_an_agent_booted_after_a_power_cut_serves_and_reports_once(recording: Recording) -> None:
    for state in (half_unpacked(recording), *chosen(recording, 3)):
        recording.restart(state)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_agents_booted_after_many_power_cuts_serve_and_report_once(recording: Recording) -> None:
    for state in chosen(recording, 260):
        recording.restart(state)
