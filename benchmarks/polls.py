"""How many polls a second does the fleet server answer, over a bare ASGI app?

Ours: the real server with a device that has nothing to do, the case of nearly every poll.
Baseline: uvicorn with an ASGI function that sends the same bytes and does nothing else; nobody
who answers through uvicorn can be faster. Both run at once and take turns under load. The load
comes from a process of its own: keep-alive connections over raw sockets, one request at a time
each, so that the client costs as little as it can.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import urllib3

from edgekit import codec
from edgekit.bench import Result, paired_ratio, summarize
from edgekit.client.http import FleetClient, read_token
from edgekit.client.trusting import install_trust
from edgekit.client.wire import NewEnrolmentToken
from edgekit.device import DeviceProfile
from edgekit.errors import NetworkError
from edgekit.protocol import RUNNING_HEADER, TENANT, EnrolRequest, EnrolResponse
from edgekit.trust.keystore import KeyStore

QUESTION = "polls a second"
CONNECTIONS = 16
START_TIMEOUT_S = 60.0
OURS, BARE = "fleet server", "bare ASGI app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask, and with which bytes.

    Attributes:
        port: On the loopback address.
        request: The whole request.
        answer_bytes: Length of the whole answer, which has to stay the same.
    """

    port: int
    request: bytes
    answer_bytes: int


def run(short: bool) -> list[Result]:
    """Measure both in turns; the short form takes about fifteen seconds."""
    rounds, seconds = (8, 0.75) if short else (40, 2.0)
    with tempfile.TemporaryDirectory() as folder, _fleet_server(Path(folder)) as (port, request):
        head, body = _answer(port, request)
        with _bare_app(head, body) as bare_port:
            targets = {
                OURS: _target(port, request),
                BARE: _target(bare_port, request),
            }
            samples = _in_turns(targets, rounds=rounds, seconds=seconds)
    baseline = Result(
        question=QUESTION,
        candidate=BARE,
        condition=f"{CONNECTIONS} connections, one server process each",
        summary=summarize(samples[BARE], unit="1/s"),
        samples=tuple(samples[BARE]),
    )
    compared = paired_ratio(samples[OURS], samples[BARE], rng=np.random.default_rng(2))
    summary = summarize(samples[OURS], unit="1/s")
    ours = replace(
        baseline, candidate=OURS, summary=summary, ratio=compared, samples=tuple(samples[OURS])
    )
    return [baseline, ours]


def _in_turns(targets: dict[str, Target], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in targets}
    for target in targets.values():
        _load(target, seconds)
    for index in range(rounds):
        for name in list(targets) if index % 2 == 0 else list(reversed(targets)):
            samples[name].append(_load(targets[name], seconds))
    return samples


def _load(target: Target, seconds: float) -> float:
    """Ask from a process of its own; return answers a second."""
    command = [sys.executable, "-m", "benchmarks.polls", "client", "--seconds", str(seconds)]
    done = subprocess.run(
        command, input=codec.encode(target), capture_output=True, check=True, timeout=seconds + 60
    )
    return float(done.stdout)


def client(target: Target, seconds: float) -> float:
    """Keep every connection busy for a while; return answers a second."""
    selector = selectors.EpollSelector()
    for _ in range(CONNECTIONS):
        link = socket.create_connection(("127.0.0.1", target.port))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(link, selectors.EVENT_READ, [0])
        link.sendall(target.request)
    answers, start = 0, time.perf_counter()
    until = start + seconds
    while time.perf_counter() < until:
        for key, _ in selector.select(timeout=5.0):
            answers += _read(key, target)
    elapsed = time.perf_counter() - start
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]  # sockets, as registered above
    return answers / elapsed


def _read(key: selectors.SelectorKey, target: Target) -> int:
    """Read what is there; when an answer is whole, ask again and count it."""
    link: Any = key.fileobj
    got = len(link.recv(65536))
    if not got:
        raise NetworkError("the server closed a connection under load")
    key.data[0] += got
    if key.data[0] < target.answer_bytes:
        return 0
    key.data[0] -= target.answer_bytes
    link.sendall(target.request)
    return 1


@contextmanager
def _fleet_server(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Run the real server with one device; yield its port and the device's poll."""
    data, port = folder / "server", _free_port()
    edgekit = [sys.executable, "-m", "edgekit.cli", "server"]
    subprocess.run([*edgekit, "init", str(data)], check=True, capture_output=True)
    with _process([*edgekit, "run", str(data), "--port", str(port)], port):
        with FleetClient(f"http://127.0.0.1:{port}", read_token(data / "admin.token")) as fleet:
            keys = KeyStore.create(folder / "keys", "of a benchmark")
            install_trust(fleet, keys, now=datetime.now(UTC))  # noqa: TID251 (composition root)
            token = fleet.create_enrolment_token(NewEnrolmentToken()).token
        device = _enrol(port, token)
        _configure(port, device)
        yield port, _poll_request(port, device)


def _enrol(port: int, token: str) -> EnrolResponse:
    profile = DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64")
    wanted = EnrolRequest(token=token, device_id="bench-1", profile=profile)
    answer = urllib3.request(
        "POST",
        f"http://127.0.0.1:{port}/api/v1/enrol",
        body=codec.encode(wanted),
        headers={"Content-Type": "application/json"},
    )
    return codec.decode(answer.data, EnrolResponse, where="enrolment")


def _configure(port: int, device: EnrolResponse) -> None:
    """Say once what DDI asks a new device, so that its polls are those of a settled one."""
    answer = urllib3.request(
        "PUT",
        f"http://127.0.0.1:{port}/{TENANT}/controller/v1/{device.device_id}/configData",
        body=b'{"mode":"merge","data":{"hwRevision":"2"}}',
        headers={
            "Content-Type": "application/json",
            "Authorization": f"TargetToken {device.device_token}",
        },
    )
    if answer.status != 200:
        raise NetworkError(f"answers configData with {answer.status}", where=f"127.0.0.1:{port}")


def _poll_request(port: int, device: EnrolResponse) -> bytes:
    lines = (
        f"GET /{TENANT}/controller/v1/{device.device_id} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: TargetToken {device.device_token}",
        f"{RUNNING_HEADER}: digits={'ab' * 32}",
        "Accept: application/hal+json",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextmanager
def _bare_app(head: list[tuple[str, str]], body: bytes) -> Iterator[int]:
    port = _free_port()
    answer = json.dumps({"head": head, "body": body.decode()})
    command = [sys.executable, "-m", "benchmarks.polls", "bare", "--port", str(port)]
    with _process(command, port, answer=answer):
        yield port


def serve_bare(port: int, answer: dict[str, Any]) -> None:
    """Answer every request with the same bytes, as fast as uvicorn can."""
    import uvicorn

    headers = [(name.encode(), value.encode()) for name, value in answer["head"]]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    body = {"type": "http.response.body", "body": answer["body"].encode()}

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401, ARG001 (ASGI)
        await send(start)
        await send(body)

    uvicorn.run(
        app,
        port=port,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="error",
        server_header=False,
        date_header=False,
    )


def _answer(port: int, request: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Return headers and body of one answer."""
    head, _, body = _exchange(port, request).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    if " 200 " not in lines[0]:
        raise NetworkError(f"answers a poll with {lines[0]!r}", where=f"127.0.0.1:{port}")
    pairs = [line.split(": ", 1) for line in lines[1:]]
    return [(name, value) for name, value in pairs], body


def _target(port: int, request: bytes) -> Target:
    sizes = {len(_exchange(port, request)) for _ in range(20)}
    if len(sizes) != 1:
        raise NetworkError("answers of several lengths", where=f"127.0.0.1:{port}")
    return Target(port=port, request=request, answer_bytes=sizes.pop())


def _exchange(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += link.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        (length,) = (
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        while len(body) < length:
            body += link.recv(65536)
        return head + b"\r\n\r\n" + body


@contextmanager
def _process(command: Sequence[str], port: int, *, answer: str = "") -> Iterator[None]:
    """Run a server until the block ends; it listens when the block begins."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if process.stdin:
            process.stdin.write(answer.encode())
            process.stdin.close()
        _wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise NetworkError("a server of the benchmark did not start", where=f"127.0.0.1:{port}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("client", "bare"))
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.role == "bare":
        serve_bare(chosen.port, json.loads(sys.stdin.read()))
    else:
        target = codec.decode(sys.stdin.buffer.read(), Target, where="standard input")
        print(client(target, chosen.seconds))


if __name__ == "__main__":
    _main()
