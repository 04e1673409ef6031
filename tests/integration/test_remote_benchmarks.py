"""Benchmarks on devices: a real server, simulated devices, and one real agent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from benchmarks.models import random_bundle
from benchmarks.one_device import OneDevice, answers, one_device
from edgekit import codec
from edgekit.bench import LatencyReport
from edgekit.bench.report import Step
from edgekit.bench.statistics import percentile_of, summarize
from edgekit.bundle import open_bundle
from edgekit.client.wire.benchmarks import BenchmarkView, NewBenchmark
from edgekit.demo.processes import wait_for
from edgekit.errors import EdgeKitError, RefusedError, UsageError
from edgekit.jobs import BenchmarkAnswer, BenchmarkJob, BenchmarkRefusal
from edgekit.protocol import LINK_BENCHMARK
from tests.integration.server_fleet import (
    PATIENCE_S,
    Engineer,
    Server,
    SimulatedDevice,
    drive,
    until,
)
from tests.unit.edgekit.bench_reports import report

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("benchmarks") / "server") as server:
        yield server


@pytest.fixture(scope="module")
def engineer(server: Server) -> Engineer:
    return Engineer.create(server, server.data.parent)


@pytest.fixture(scope="module")
def devices(server: Server, engineer: Engineer) -> list[SimulatedDevice]:
    """Two devices that run 1.0.0."""
    made = [SimulatedDevice.enrol(server, name) for name in ("a", "b")]
    engineer.publish("1.0.0")
    assert drive(server, made, engineer.roll_out("1.0.0").id).phase == "finished"
    return made


def measured(digest: str, *, ms: float = 10.0) -> LatencyReport:
    values = [ms * (1 + 0.001 * i) for i in range(100)]
    step = Step(
        name="total",
        summary=summarize(values, unit="ms"),
        percentiles=(percentile_of(values, 0.9),),
    )
    return report(digest=digest, steps=(step, report().steps[0]))


def ask(server: Server, digest: str, device: str) -> BenchmarkView:
    with server.client() as client:
        (view,) = client.create_benchmarks(NewBenchmark(digest=digest, device=device))
    return view


def offered(device: SimulatedDevice) -> str:
    return device.poll().get(LINK_BENCHMARK, "")


def answer(device: SimulatedDevice, href: str, said: BenchmarkAnswer) -> int:
    return device.ask("POST", href, body=codec.encode(said)).status


def test_an_idle_device_gets_the_job_and_its_answer_is_kept(server, devices):
    device, other = devices
    digest = device.running["digits"]
    view = ask(server, digest, "a")
    assert offered(other) == ""
    href = offered(device)
    job = codec.decode(device.ask("GET", href).body, BenchmarkJob, where="job")
    assert (job.id, job.model, job.digest) == (view.id, "digits", digest)
    other_href = href.replace("/v1/a/", "/v1/b/")
    assert other.ask("GET", other_href).status == 404
    assert other.ask("GET", f"{other_href}/bundle").status == 404
    assert hashlib.sha256(device.ask("GET", job.download).body).hexdigest() == digest

    strange = BenchmarkAnswer(report=codec.plain(measured("cd" * 32)))
    assert answer(device, href, strange) == 400
    assert answer(device, href, BenchmarkAnswer()) == 400
    good = BenchmarkAnswer(report=codec.plain(measured(digest)))
    assert answer(device, href, good) == 200
    assert offered(device) == ""
    assert answer(device, href, good) == 404
    assert device.ask("GET", job.download).status == 404
    with server.client() as client:
        kept = client.benchmark(view.id)
        assert kept.state == "done"
        assert kept.report is not None
        assert kept.report["samples"] is None
        assert view.id in [v.id for v in client.benchmarks(digest)]


def test_a_refusal_is_an_answer(server, devices):
    device = devices[1]
    view = ask(server, device.running["digits"], "b")
    said = BenchmarkAnswer(refused=BenchmarkRefusal.BUSY, detail="90 % of all cores are busy")
    assert answer(device, offered(device), said) == 200
    with server.client() as client:
        kept = client.benchmark(view.id)
    assert (kept.state, kept.reason) == ("refused", "busy")


def test_telemetry_that_leaves_the_benchmark_is_an_alarm(server, devices):
    device = devices[0]
    digest = device.running["digits"]
    ask(server, digest, "a")
    report_of_10_ms = BenchmarkAnswer(report=codec.plain(measured(digest)))
    assert answer(device, offered(device), report_of_10_ms) == 200
    device.send([device.window("digits") for _ in range(20)], spool="as-measured")
    with server.client() as client:
        assert client.field_alarms() == []
        device.latency_ms[digest] = 30.0
        device.send([device.window("digits") for _ in range(60)], spool="slow")
        (alarm,) = client.field_alarms()
    assert (alarm.device, alarm.version) == ("a", "1.0.0")
    assert alarm.p90_ms > alarm.high_ms > alarm.low_ms
    with server.client() as client:
        (raised,) = until(client.alarms)
        assert (raised.device, raised.digest, raised.kind) == ("a", digest, "latency")
        event = next(e for e in client.events(device="a") if e.kind == "alarm_raised")
        assert (event.version, event.text) == ("1.0.0", raised.text)
        device.latency_ms[digest] = 10.0
        for spool in ("mended", "mended-too"):
            device.send([device.window("digits") for _ in range(500)], spool=spool)
        until(lambda: client.alarms() == [])
        assert client.events(device="a", limit=1)[0].kind == "alarm_cleared"


def test_what_nobody_could_measure_is_refused(server, devices):
    digest = devices[0].running["digits"]
    with server.client() as client:
        for wanted, error in (
            (NewBenchmark(digest="0" * 64, device="a"), RefusedError),
            (NewBenchmark(digest=digest, device="nobody"), RefusedError),
            (NewBenchmark(digest=digest), UsageError),
            (NewBenchmark(digest=digest, selector="site=nowhere"), UsageError),
            (NewBenchmark(digest=digest, device="a", min_secs=1e9), UsageError),
        ):
            with pytest.raises(error):
                client.create_benchmarks(wanted)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneDevice]:
    with one_device(tmp_path_factory.mktemp("one"), channels=16) as device:
        yield device


@pytest.fixture
def device(one: OneDevice) -> OneDevice:
    """The device with no update under way: what came before is committed."""
    wait_for("the update has ended", lambda: settled(one), timeout_s=PATIENCE_S)
    return one


def settled(device: OneDevice) -> bool:
    journal = json.loads((device.state / "journal.json").read_bytes())
    return bool(journal["state"] == "idle" and journal["last"])


def bundle_of(device: OneDevice, version: str) -> str:
    (file,) = (device.folder / f"release-{version}").glob("*.bundle")
    return str(file)


WORDS = ("--device", "one", "--min-duration", "0.2s", "--wait", "120s")


@pytest.mark.slow
def test_an_agent_measures_what_it_holds_and_goes_on_answering(device, tmp_path):
    saved = tmp_path / "r.json"
    words = [*WORDS, "--save", str(saved)]
    (view,) = device.commands.json("edgekit", "bench", bundle_of(device, "1"), *words)
    assert view["state"] == "done"
    assert view["report"]["digest"] == view["digest"]
    assert answers(device.address())
    assert json.loads(saved.read_text())["kind"] == "edgekit.latency"


@pytest.mark.slow
def test_what_a_device_does_not_hold_is_fetched_measured_and_taken_away(device):
    device.publish("9", channels=16)
    before = device.version(), (device.state / "journal.json").read_bytes(), slots(device)
    stop, said = Event(), list[bool]()
    with ThreadPoolExecutor() as pool:
        watching = pool.submit(ask_until, stop, device.address(), said)
        (view,) = device.commands.json("edgekit", "bench", bundle_of(device, "9"), *WORDS)
        stop.set()
        watching.result()
    assert view["state"] == "done"
    assert (
        view["report"]["digest"]
        == view["digest"]
        == open_bundle(Path(bundle_of(device, "9"))).sha256
    )
    assert said
    assert all(said)
    wait_for("it is gone", lambda: not (device.state / "measuring").exists(), timeout_s=PATIENCE_S)
    assert before == (device.version(), (device.state / "journal.json").read_bytes(), slots(device))


@pytest.mark.slow
def test_an_unpublished_bundle_is_refused_before_any_device_is_asked(device, tmp_path):
    random_bundle(tmp_path, 16, version="never", seed=3)
    (file,) = tmp_path.glob("*.bundle")
    with pytest.raises(EdgeKitError, match="no release has this bundle"):
        device.commands.run("edgekit", "bench", str(file), *WORDS)


@pytest.mark.slow
def test_a_killed_agent_leaves_nothing_of_a_fetched_bundle(device):
    device.publish("8", channels=16)
    words = ["--device", "one", "--min-duration", "4s", "--wait", "180s"]
    command = ["edgekit", "bench", bundle_of(device, "8"), *words]
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(device.commands.json, *command)
        wait_for("it measures", lambda: measuring(device), timeout_s=PATIENCE_S)
        agent = device.agent.pid
        assert agent
        os.kill(agent, signal.SIGKILL)
        wait_for("the agent is dead", lambda: device.agent.pid is None, timeout_s=PATIENCE_S)
        wait_for("the measuring ends", lambda: not measuring(device), timeout_s=PATIENCE_S)
        left = device.state / "measuring"
        assert list(left.glob("*.bundle"))
        (left / "mark").touch()
        device.agent.start()
        wait_for("it is swept", lambda: not (left / "mark").exists(), timeout_s=PATIENCE_S)
        (view,) = asked.result()
    assert view["state"] == "done"
    wait_for("it is gone", lambda: not left.exists(), timeout_s=PATIENCE_S)
    wait_for("it answers", lambda: answers(device.address()), timeout_s=PATIENCE_S)
    assert open_bundle(Path(bundle_of(device, "8"))).sha256 not in slots(device)


def slots(device: OneDevice) -> list[str]:
    """Names of the bundles that the device holds."""
    return sorted(p.name for p in (device.state / "models").glob("*/*") if p.is_dir())


def ask_until(stop: Event, netloc: str, said: list[bool]) -> None:
    """Ask the serving model until told to stop."""
    while not stop.wait(0.05):
        said.append(answers(netloc))


@pytest.mark.slow
def test_an_update_ends_a_measurement_at_once(device):
    words = ["--device", "one", "--min-duration", "60s", "--wait", "180s"]
    command = ["edgekit", "bench", bundle_of(device, "1"), *words]
    device.publish("2", channels=16)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(device.commands.run, *command, timeout_s=240)
        wait_for("it measures", lambda: measuring(device), timeout_s=PATIENCE_S)
        device.roll_out("2")
        with pytest.raises(EdgeKitError, match="did not measure"):
            asked.result()
    views = device.commands.json("edgekit", "bench", "jobs")
    assert views[0]["reason"] == "updating"
    wait_for("the update", lambda: device.version() == "2", timeout_s=PATIENCE_S)
    assert not measuring(device)


def measuring(device: OneDevice) -> bool:
    """Whether a process measures for this agent."""
    mark = str(device.state).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = file.read_bytes()
            if b"device_agent.benchmark" in command and mark in command:
                return True
    return False
