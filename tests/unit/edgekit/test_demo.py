"""The demo's own rules: what it deletes, what it counts, when it says no."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekit.client.wire.rollouts import DeploymentView
from edgekit.demo import processes
from edgekit.demo.chapters.outage import Books
from edgekit.demo.leftovers import stop_leftovers
from edgekit.demo.observing import seconds_to_recover
from edgekit.demo.processes import CommandError, Commands, free_port, wait_for
from edgekit.demo.story import fresh_folder
from edgekit.errors import UsageError


def deployment(kind: str, *, activated: str | None = None, ended: str | None = None):
    return DeploymentView(
        device="d",
        action=1,
        variant="v",
        digest="0" * 64,
        kind=kind,
        state="",
        reason="",
        detail="",
        offered_at="2026-01-01T00:00:00+00:00",
        activated_at=activated,
        ended_at=ended,
    )


def books(**changed: int) -> Books:
    values = {
        "recorded_windows": 7,
        "recorded_inferences": 70,
        "waiting_windows": 0,
        "arrived_windows": 7,
        "arrived_inferences": 70,
        "last_seq": 7,
        "spools": 1,
    }
    return Books(**(values | changed))


def test_a_folder_that_no_demo_made_is_not_deleted(tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="no demo made it"):
        fresh_folder(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_a_folder_of_an_earlier_demo_is_made_anew(tmp_path: Path):
    (fresh_folder(tmp_path / "run") / "old").touch()
    assert not (fresh_folder(tmp_path / "run") / "old").exists()


def test_recovery_counts_from_the_first_activation_to_the_last_rollback():
    deployments = [
        deployment("update", activated="2026-01-01T00:00:05+00:00"),
        deployment("update", activated="2026-01-01T00:00:03+00:00"),
        deployment("update"),
        deployment("rollback", ended="2026-01-01T00:00:09.500000+00:00"),
        deployment("rollback", ended="2026-01-01T00:00:08+00:00"),
    ]
    assert seconds_to_recover(deployments) == pytest.approx(6.5)


@pytest.mark.parametrize(
    "changed",
    [{"arrived_inferences": 69}, {"arrived_inferences": 71}, {"last_seq": 8}, {"spools": 2}],
    ids=["lost", "twice", "a gap", "a new spool"],
)
def test_books_that_differ_do_not_balance(changed: dict[str, int]):
    assert books().balanced
    assert not books(**changed).balanced


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[Callable[[str, str], subprocess.Popen[bytes]]]:
    """Start a process that looks like a program of ours with an argument."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str, argument: str) -> subprocess.Popen[bytes]:
        file = tmp_path / program
        file.write_text("print(flush=True)\nimport time\ntime.sleep(300)\n")
        words = [sys.executable, str(file), "run", argument]
        process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_orphans_of_a_killed_demo_are_stopped(tmp_path: Path, orphan):
    folder = tmp_path / "demo"
    mine = orphan("edgekit-agent", f"{folder}/fleet/device-1")
    assert stop_leftovers(folder) == 1
    assert mine.wait(90) == -signal.SIGTERM
    assert stop_leftovers(folder) == 0


def test_other_programs_and_other_folders_are_left_alone(tmp_path: Path, orphan):
    folder = tmp_path / "demo"
    editor = orphan("editor", f"{folder}/commands.log")
    neighbour = orphan("edgekit", f"{folder}-2/fleet/server")
    assert stop_leftovers(folder) == 0
    assert editor.poll() is None
    assert neighbour.poll() is None


def test_a_command_that_fails_is_an_error_with_its_last_line(tmp_path: Path):
    commands = Commands(environment={}, log=tmp_path / "log")
    with pytest.raises(CommandError, match="no such"):
        commands.run("python", "-c", "import sys; sys.exit('there is no such thing')")
    assert "[exit 1]" in (tmp_path / "log").read_text()


def test_a_command_that_does_not_end_is_an_error(tmp_path: Path):
    commands = Commands(environment={}, log=tmp_path / "log")
    with pytest.raises(CommandError, match="did not end"):
        commands.run("sleep", "5", timeout_s=0.05)


def test_what_does_not_happen_is_an_error():
    with pytest.raises(CommandError, match="did not happen"):
        wait_for("rain", lambda: None, timeout_s=0.01, every_s=0.01)


def test_processes_that_look_for_ports_at_once_find_different_ones(monkeypatch):
    found = []
    for pid in (5000, 5001, 5002):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        monkeypatch.setattr(processes, "_tried", itertools.count())
        found += [free_port() for _ in range(20)]
    assert len(set(found)) == 60
