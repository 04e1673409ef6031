"""Starts measuring processes and asks them. Measures nothing itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns
from types import TracebackType
from typing import Self

import edgekit.errors
from edgekit import codec
from edgekit.bench.messages import Failure, Reply, Request, Start, Started
from edgekit.errors import EdgeKitError, RuntimeFailedError

START_TIMEOUT_S = 300.0
GRACE_S = 120.0


class MeasuringProcess:
    """A fresh process with one model loaded; ends with the block.

    Args:
        path: Bundle or model file.
        threads: For the runtime.
        affinity: Cores to stay on; empty leaves it to the system.

    Raises:
        EdgeKitError: What the process says about the file; RuntimeFailedError if it dies.
    """

    def __init__(self, path: Path, *, threads: int = 1, affinity: Sequence[int] = ()) -> None:
        self._where = str(path)
        start = Start(
            path=str(path),
            threads=threads,
            affinity=tuple(affinity),
            spawned_ns=perf_counter_ns(),
        )
        command = [sys.executable, "-m", "edgekit.bench.worker", codec.encode(start).decode()]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._noise = bytearray()
        self._drain = threading.Thread(target=self._drained, daemon=True)
        self._drain.start()
        self.started = self._first()

    def ask(self, request: Request) -> Reply:
        """Have one piece of work done.

        Raises:
            EdgeKitError: As above.
        """
        if self._process.stdin is None:
            raise RuntimeFailedError("the measuring process is gone", where=self._where)
        try:
            self._process.stdin.write(codec.encode(request) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died; reading says how
        return self._reply(request.secs * request.slices * 2 + GRACE_S)

    def close(self) -> None:
        """Let the process end; kill it if it does not."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._drain.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        self.close()

    def _first(self) -> Started:
        try:
            reply = self._reply(START_TIMEOUT_S)
        except BaseException:
            self._process.kill()
            self.close()
            raise
        if reply.started is None:
            raise RuntimeFailedError("the measuring process did not start", where=self._where)
        return reply.started

    def _reply(self, timeout_s: float) -> Reply:
        timer = threading.Timer(timeout_s, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else b""
        finally:
            timer.cancel()
        if not line:
            raise RuntimeFailedError(self._epitaph(), where=self._where)
        reply = codec.decode(line, Reply, where="measuring process")
        if reply.failure is not None:
            raise _raised(reply.failure)
        return reply

    def _epitaph(self) -> str:
        code = self._process.wait()
        self._drain.join()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        said = self._noise.decode(errors="replace").strip().splitlines()
        return f"the measuring process {how}" + (f" ({said[-1][:200]})" if said else "")

    def _drained(self) -> None:
        while self._process.stderr and (chunk := os.read(self._process.stderr.fileno(), 65536)):
            self._noise += chunk
            del self._noise[:-65536]


def _raised(failure: Failure) -> EdgeKitError:
    kind: type[EdgeKitError] = getattr(edgekit.errors, failure.kind, EdgeKitError)
    error = kind.__new__(kind)  # some classes build their message from other arguments
    EdgeKitError.__init__(error, failure.what, where=failure.where, todo=failure.todo)
    return error
