"""Running the public commands, and keeping processes in the background."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgekit.errors import EdgeKitError

T = TypeVar("T")
PATIENCE_S = 600.0
_SCRIPTS = Path(sys.executable).parent
_PORTS = range(20_000, 32_000)
"""Below those that systems give to outgoing connections (32768 on Linux, 49152 by RFC 6335)."""
_STRIDE = 97
_tried = itertools.count()


class CommandError(EdgeKitError):
    """A command of the story did not do what it had to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The commands as a user types them, with one environment.

    Attributes:
        environment: Added to that of this process.
        log: File that every command line and its output is appended to.
    """

    environment: Mapping[str, str]
    log: Path

    def run(self, *words: str, timeout_s: float = PATIENCE_S) -> str:
        """Run a command to its end and return what it printed on standard output.

        Raises:
            CommandError: It ended with another exit code than 0; holds its last line. Or it did
                not end in time.
        """
        try:
            done = subprocess.run(
                _resolved(words),
                env={**os.environ, **self.environment},
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(
                f"did not end within {timeout_s:.0f} s", where=" ".join(words[:3])
            ) from error
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}[exit {done.returncode}]\n")
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
            raise CommandError(lines[-1], where=" ".join(words[:3]), todo=f"see {self.log}")
        return done.stdout

    def json(self, *words: str, timeout_s: float = PATIENCE_S) -> Any:  # noqa: ANN401 (JSON)
        """Run a command with `--json` and return what it printed, decoded.

        Raises:
            CommandError: As `run`, or it printed no JSON.
        """
        out = self.run(*words, "--json", timeout_s=timeout_s)
        try:
            return json.loads(out)
        except ValueError as error:
            raise CommandError("printed no JSON", where=" ".join(words[:3])) from error


class Background:
    """A process that runs until it is told to stop; its output goes to a file."""

    def __init__(self, words: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        self._words = _resolved(words)
        self._log = log
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._log

    @property
    def pid(self) -> int | None:
        """Number of the running process; None while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process in a session of its own, so that Ctrl-C reaches only the demo."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words,
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def stop(self, *, timeout_s: float = 15.0) -> None:
        """Ask the process to end (SIGTERM) and wait; kill it when it does not."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def wait_for(
    what: str, seen: Callable[[], T | None], *, timeout_s: float, every_s: float = 0.25
) -> T:
    """Call `seen` until it returns something that is true, and return that.

    Raises:
        CommandError: It did not within the time.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := seen():
            return found
        time.sleep(every_s)
    raise CommandError(f"did not happen within {timeout_s:.0f} s", where=what)


def free_port() -> int:
    """Return a port of the loopback interface on which nobody listens now.

    No outgoing connection gets it either while its server is down, so a server can come back to it.
    Every process begins elsewhere and goes on from there, so that two that look at the same time,
    before their servers listen, find different ones.

    Raises:
        CommandError: All of a hundred that were tried are taken.
    """
    for number in itertools.islice(_tried, 100):
        port = _PORTS[(os.getpid() * _STRIDE + number) % len(_PORTS)]
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise CommandError("no port is free", where=f"127.0.0.1:{_PORTS.start}-{_PORTS.stop}")


def _resolved(words: Sequence[str]) -> list[str]:
    """Prefer the scripts beside this interpreter over whatever PATH holds."""
    script = _SCRIPTS / words[0]
    return [str(script) if script.exists() else words[0], *words[1:]]
