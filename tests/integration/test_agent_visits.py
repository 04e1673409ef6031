"""Bundles that come for a benchmark only, over real sockets from a server that may break."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from benchmarks.models import NAME, random_bundle
from device_agent.transport import Transport
from device_agent.visiting import NoVisitError, Visits
from edgekit.bundle import open_bundle
from edgekit.device import DeviceProfile
from edgekit.errors import NetworkError
from edgekit.jobs import BenchmarkJob
from edgekit.trust.process import Request
from edgekit.trust.reasons import Reason, UntrustedError
from edgekit.trust.targets import TargetInfo

pytestmark = pytest.mark.integration
TARGET = "models/x/1/a.bundle"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("visits")
    random_bundle(folder, 16, version="1", seed=1)
    (file,) = folder.glob("*.bundle")
    return file


@pytest.fixture
def server(bundle: Path) -> Iterator[ThreadingHTTPServer]:
    data = bundle.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        asked: ClassVar[list[str]] = []

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            self.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            body = data[start:]
            status = 206 if wanted else 200
            if self.path == "/gone":
                status, body = 404, b""
            if self.path == "/other":
                body = body[:-1] + bytes([body[-1] ^ 1])
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            breaks = self.path == "/breaks" and not wanted
            self.wfile.write(body[: len(body) // 2] if breaks else body)
            self.close_connection = breaks

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        it.daemon_threads = True
        threading.Thread(target=it.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield it
        it.shutdown()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def job_of(bundle: Path, server: ThreadingHTTPServer, way: str = "/good") -> BenchmarkJob:
    found = open_bundle(bundle)
    return BenchmarkJob(
        id=1,
        model=NAME,
        digest=found.sha256,
        version="1",
        variant=found.manifest.variant,
        target=TARGET,
        download=address(server) + way,
    )


def visits_to(
    folder: Path,
    bundle: Path,
    server: ThreadingHTTPServer,
    *,
    runtimes: tuple[str, ...] = ("onnxruntime",),
    limit_kb_s: float = 0.0,
    trust: Callable[[Request], TargetInfo] | None = None,
) -> Visits:
    found = open_bundle(bundle)
    signed = TargetInfo(path=TARGET, length=bundle.stat().st_size, sha256=found.sha256)
    profile = DeviceProfile(runtimes=dict.fromkeys(runtimes, "9"), arch="")
    visits = Visits(
        folder=folder / "measuring",
        trust=trust or (lambda request: signed),
        trust_folder=folder / "trust",
        metadata_url=lambda: f"{address(server)}/metadata/",
        profile=lambda: profile,
        limit_kb_s=limit_kb_s,
        interrupted=threading.Event(),
    )
    visits.open()
    return visits


def refusal(visits: Visits, job: BenchmarkJob, server: ThreadingHTTPServer) -> str:
    with pytest.raises(NoVisitError) as caught, closing(Transport(address(server), {})) as way:
        visits.bring(job, way)
    assert caught.value.detail
    return caught.value.refused.value


def test_a_broken_connection_is_taken_up_where_it_ended(tmp_path, bundle, server):
    visits = visits_to(tmp_path, bundle, server)
    with closing(Transport(address(server), {})) as way:
        path = visits.bring(job_of(bundle, server, "/breaks"), way)
    half = bundle.stat().st_size // 2
    assert path.read_bytes() == bundle.read_bytes()
    assert server.RequestHandlerClass.asked == ["", f"bytes={half}-"]
    visits.sweep()
    assert not (tmp_path / "measuring").exists()


def test_every_reason_not_to_measure_has_its_word(tmp_path, bundle, server):
    good = job_of(bundle, server)
    visits = visits_to(tmp_path, bundle, server)
    assert refusal(visits, replace(good, target=""), server) == "not_held"
    assert refusal(visits, job_of(bundle, server, "/gone"), server) == "not_held"
    assert refusal(visits, job_of(bundle, server, "/other"), server) == "untrusted"
    assert refusal(visits, replace(good, digest="0" * 64), server) == "untrusted"
    assert refusal(visits, replace(good, version="2"), server) == "failed"
    assert refusal(visits_to(tmp_path, bundle, server, runtimes=()), good, server) == "unsupported"


def test_unsigned_is_not_even_downloaded(tmp_path, bundle, server):
    def refuse(request: Request) -> TargetInfo:
        raise UntrustedError(Reason.INVALID, f"{request.path} is not signed")

    server.RequestHandlerClass.asked.clear()
    visits = visits_to(tmp_path, bundle, server, trust=refuse)
    assert refusal(visits, job_of(bundle, server), server) == "untrusted"
    assert server.RequestHandlerClass.asked == []


def test_a_disk_without_room_is_said(tmp_path, bundle, server):
    free = shutil.disk_usage(tmp_path).free
    found = open_bundle(bundle)
    huge = TargetInfo(path=TARGET, length=free, sha256=found.sha256)
    visits = visits_to(tmp_path, bundle, server, trust=lambda request: huge)
    assert refusal(visits, job_of(bundle, server), server) == "no_room"


def test_an_update_ends_a_download(tmp_path, bundle, server):
    visits = visits_to(tmp_path, bundle, server, limit_kb_s=0.001)
    timer = threading.Timer(0.3, visits.interrupted.set)
    timer.start()
    assert refusal(visits, job_of(bundle, server), server) == "updating"
    timer.join()


def test_a_server_that_is_away_leaves_the_job_waiting(tmp_path, bundle, server):
    def away(request: Request) -> TargetInfo:
        raise NetworkError("no answer", where=request.metadata_url)

    visits = visits_to(tmp_path, bundle, server, trust=away)
    with pytest.raises(NetworkError), closing(Transport(address(server), {})) as way:
        visits.bring(job_of(bundle, server), way)
