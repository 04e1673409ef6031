"""A crowd of callers that come at the same moment, from a process of its own. Holds no question.

Each has a connection of its own, asks once, and comes again when it is told to (429 or 503, after
Retry-After and up to a tenth more), until it is answered 200.
"""

from __future__ import annotations

import asyncio
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from edgekit import codec

_LATER = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who comes.

    Attributes:
        port: Of the server, on the loopback address.
        requests: One whole request of each caller.
        patience_s: Who has no answer after this long gives up.
    """

    port: int
    requests: tuple[str, ...]
    patience_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """What became of them.

    Attributes:
        took_s: Until the last one was answered.
        tries: Of the caller that had to come most often.
        statuses: Answers by status.
        errors: Connections that failed, answers that were cut or had no Retry-After, and callers
            that gave up, by what happened.
    """

    took_s: float
    tries: int
    statuses: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)


def come(crowd: Crowd) -> Reception:
    """Send a crowd from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.crowd"],
        input=codec.encode(crowd),
        capture_output=True,
        check=True,
        timeout=crowd.patience_s + 60,
    )
    return codec.decode(done.stdout, Reception, where="crowd")


async def _receive(crowd: Crowd) -> Reception:
    statuses: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    rng, started = random.Random(1), time.perf_counter()

    async def caller(request: bytes) -> int:
        tries = 0
        try:
            async with asyncio.timeout(crowd.patience_s):
                while (wait_s := await _ask(crowd.port, request, statuses)) is not None:
                    tries += 1
                    await asyncio.sleep(wait_s * (1 + rng.random() / 10))
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            errors[f"{type(error).__name__}: {error}"] += 1
        return tries + 1

    tries = await asyncio.gather(*(caller(request.encode()) for request in crowd.requests))
    return Reception(
        took_s=time.perf_counter() - started,
        tries=max(tries),
        statuses=dict(statuses),
        errors=dict(errors),
    )


async def _ask(port: int, request: bytes, statuses: Counter[str]) -> float | None:
    """Ask once; returns when to come again, None when answered.

    Raises:
        ValueError: Another answer, or one that does not say when.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    finally:
        writer.close()
    status = int(head.split(" ", 2)[1])
    statuses[str(status)] += 1
    if status == 200:
        return None
    named = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if status not in _LATER or int(named.get("retry-after", "0")) < 1:
        raise ValueError(f"answered {status} and Retry-After {named.get('retry-after')}")
    return float(named["retry-after"])


def _main() -> None:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    crowd = codec.decode(sys.stdin.buffer.read(), Crowd, where="standard input")
    sys.stdout.buffer.write(codec.encode(asyncio.run(_receive(crowd))))


if __name__ == "__main__":
    _main()
