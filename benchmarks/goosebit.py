"""gooseBit 0.2.12, the one other DDI server that installs here, for comparison in the same run.

It lives in an environment of its own: EDGEKIT_GOOSEBIT names its python. Holds no question.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from benchmarks.load import process
from edgekit.demo.processes import free_port
from edgekit.errors import NetworkError

VARIABLE = "EDGEKIT_GOOSEBIT"
_MIGRATIONS = (
    "import goosebit, pathlib; print(pathlib.Path(goosebit.__file__).parent / 'db' / 'migrations')"
)


def installed() -> Path | None:
    """Return the python that has gooseBit; None where there is none."""
    named = os.environ.get(VARIABLE)
    return Path(named).absolute() if named else None  # some of it runs in another folder


@contextmanager
def running_goosebit(
    python: Path, folder: Path, *, devices: int
) -> Iterator[tuple[int, list[str]]]:
    """Run it over registered devices that have nothing to do; yield its port and their polls."""
    database, port = folder / "db.sqlite3", free_port()
    environment = {
        **os.environ,
        "GOOSEBIT_TENANT": "DEFAULT",
        "GOOSEBIT_DB_URI": f"sqlite://{database}",
        "GOOSEBIT_ARTIFACTS_DIR": str(folder / "artifacts"),
    }
    environment.pop("PYTHONPATH", None)
    _migrate(python, folder, environment)
    command = [str(python), "-m", "uvicorn", "goosebit:app", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-access-log", "--log-level", "critical"]
    with process(command, port, env=environment):
        _register(port, database, devices)
        yield port, [_poll(f"d{index}") for index in range(devices)]


def _migrate(python: Path, folder: Path, environment: dict[str, str]) -> None:
    found = subprocess.run(
        [str(python), "-c", _MIGRATIONS], env=environment, check=True, capture_output=True
    )
    (folder / "pyproject.toml").write_text(
        '[tool.aerich]\ntortoise_orm = "goosebit.db.config.TORTOISE_CONF"\n'
        f'location = "{found.stdout.decode().strip().splitlines()[-1]}"\nsrc_folder = "./."\n'
    )
    aerich = str(python.parent / "aerich")
    subprocess.run(
        [aerich, "upgrade"], cwd=folder, env=environment, check=True, capture_output=True
    )


def _register(port: int, database: Path, devices: int) -> None:
    """Register one device over DDI and copy its row, because each takes several milliseconds."""
    address = f"http://127.0.0.1:{port}/DEFAULT/controller/v1/d0"
    urllib3.request("GET", address)
    done = urllib3.request(
        "PUT", f"{address}/configData", json={"data": {"hw_boardname": "b", "hw_revision": "1"}}
    )
    if done.status != 200:
        raise NetworkError(f"gooseBit answers configData with {done.status}", where=address)
    connection = sqlite3.connect(database)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(device)")]
    rest = ", ".join(f'"{name}"' for name in columns if name != "id")
    connection.executemany(
        f"INSERT INTO device (id, {rest}) SELECT ?, {rest} FROM device WHERE id = 'd0'",
        [(f"d{index}",) for index in range(1, devices)],
    )
    connection.commit()
    connection.close()


def _poll(device: str) -> str:
    return f"GET /DEFAULT/controller/v1/{device} HTTP/1.1\r\nHost: fleet.example\r\n\r\n"
