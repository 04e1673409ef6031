"""A real PostgreSQL for tests: the one of an address given, or PyPI's pgserver, started here.

Set EDGEKIT_TEST_POSTGRES to postgresql+psycopg://user@host/database of a server that may be played
with: each test makes a database of its own there and drops it.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from edgekit.demo.processes import free_port

ADDRESS_VARIABLE = "EDGEKIT_TEST_POSTGRES"
_numbers = itertools.count()


class Postgres:
    """One PostgreSQL server of our own: can be stopped, killed and started again."""

    def __init__(self, folder: Path) -> None:
        found = importlib.util.find_spec("pgserver")
        assert found is not None, "pgserver is missing: pip install 'edgekit[dev]'"
        assert found.origin is not None
        self._programs = Path(found.origin).parent / "pginstall" / "bin"
        self._folder = folder
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.own(folder)
        self.port = free_port()
        self._run("initdb", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def own(self, folder: Path) -> None:
        """Give a folder to the user that the server runs as."""
        if self._user:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)

    def start(self) -> None:
        options = ["-k", str(self._folder), "-h", "127.0.0.1", "-p", str(self.port)]
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log, **self._as_user())
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                psycopg.connect(plain(self.url)).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError((self._folder / "log").read_text())

    def stop(self, kind: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT is a fast shutdown, SIGQUIT an immediate one without clean-up."""
        assert self._process is not None
        self._process.send_signal(kind)
        self._process.wait(timeout=90)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=180, **self._as_user())

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server of our own in a short-lived folder that its user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="edgekit-pg-"))
    server = Postgres(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """Make an empty database beside the one of an address; drop it afterwards."""
    name = f"edgekit_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{url.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(plain(url), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def plain(url: str) -> str:
    """Return an address as psycopg itself takes it."""
    return url.replace("+psycopg", "")
