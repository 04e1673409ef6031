"""Every import contract holds, and each is seen to fail on a planted violation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
LIGHT = "What runs on a device stays light: the agent and the core under it"
HEAVY_PARTS = {"cli", "client", "demo"}

# Contract -> what breaks it: a module, and the line that is added to it.
PLANTED = [
    (
        "Three independent parts above the language they share",
        "edgekit/verdict.py",
        "import fleet_server.domain",
    ),
    (
        "Three independent parts above the language they share",
        "converters/__init__.py",
        "import device_agent.states",
    ),
    (
        "edgekit: demo and commands above the client and the harness above the core",
        "edgekit/bundle.py",
        "import edgekit.client.wire",
    ),
    (
        "edgekit: demo and commands above the client and the harness above the core",
        "edgekit/a_module_without_a_layer.py",
        "",
    ),
    (
        "fleet_server: HTTP and storage around services around a pure domain",
        "fleet_server/domain/goal.py",
        "import fleet_server.services",
    ),
    (
        "fleet_server: HTTP and storage around services around a pure domain",
        "fleet_server/a_module_without_a_layer.py",
        "",
    ),
    ("fleet_server.domain touches no outside world", "fleet_server/domain/goal.py", "import time"),
    (
        "fleet_server.domain touches no outside world",
        "fleet_server/domain/goal.py",
        "import sqlalchemy",
    ),
    (LIGHT, "edgekit/codec.py", "import torch"),
    (LIGHT, "edgekit/bench/measure.py", "import rich"),
    (LIGHT, "device_agent/slots.py", "import fastapi"),
    (
        "The agent's state table and its probation are pure",
        "device_agent/states.py",
        "import os",
    ),
    (
        "The agent's state table and its probation are pure",
        "device_agent/probation.py",
        "import sqlite3",
    ),
    (
        "No cycles",
        "edgekit/errors.py",
        "import edgekit.bundle",
    ),
]


def lint(folder: Path) -> dict[str, str]:
    """Return contract -> "KEPT" or "BROKEN"."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = dict(re.findall(r"^(.+) (KEPT|BROKEN)\b", done.stdout, flags=re.MULTILINE))
    assert found, done.stdout + done.stderr
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in CONFIG["root_packages"]:
        shutil.copytree(
            CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_holds():
    assert set(lint(CHECKOUT).values()) == {"KEPT"}


def test_every_contract_has_a_planted_violation():
    assert {contract["name"] for contract in CONFIG["contracts"]} == {name for name, *_ in PLANTED}


@pytest.mark.parametrize(
    ("contract", "module", "line"), PLANTED, ids=[f"{m}: {i}" for _, m, i in PLANTED]
)
def test_a_planted_violation_breaks_its_contract(copy, contract, module, line):
    with (copy / module).open("a") as file:
        file.write(f"\n{line}\n")
    assert lint(copy)[contract] == "BROKEN"


def test_the_light_contract_names_every_core_module():
    (light,) = [c for c in CONFIG["contracts"] if c["name"] == LIGHT]
    core = {
        f"edgekit.{path.stem}"
        for path in (CHECKOUT / "edgekit").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and path.stem not in HEAVY_PARTS | {"__init__"}
    }
    assert set(light["source_modules"]) == core | {"device_agent"}
