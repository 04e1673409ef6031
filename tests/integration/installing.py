"""Environments of their own for tests: copies the checkout, makes a venv, installs into it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_PACKAGES = ("edgekit", "converters", "device_agent", "fleet_server")
_FILES = ("pyproject.toml", "README.md", "LICENSE")


def requirements(extra: str) -> list[str]:
    """Return what an extra asks for, with the extras of EdgeKit in it resolved."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for line in project["optional-dependencies"][extra]:
        if line.startswith("edgekit["):
            for inner in line.removeprefix("edgekit[").removesuffix("]").split(","):
                wanted += requirements(inner)
        else:
            wanted.append(line)
    return sorted(set(wanted))


def sources(folder: Path) -> Path:
    """Copy what a package is built from, so that building leaves nothing in the checkout."""
    for name in _PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, folder / name, ignore=ignored)
    for name in _FILES:
        shutil.copy(CHECKOUT / name, folder)
    return folder


def make_venv(folder: Path) -> Path:
    """Make an empty environment; return its Python."""
    run([sys.executable, "-m", "venv", str(folder)])
    return folder / "bin" / "python"


def pip_install(python: Path, *arguments: str) -> None:
    """Install, and fail with pip's own words."""
    run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])


_MEASURE = """
import json, re
from importlib.metadata import distributions
def name_of(text):
    return re.sub("[-_.]+", "-", re.match("[A-Za-z0-9._-]+", text)[0]).lower()
print(json.dumps({
    name_of(d.name): {
        "bytes": sum(f.locate().stat().st_size for f in d.files or () if f.locate().is_file()),
        "needs": [name_of(r) for r in d.requires or () if "extra ==" not in r],
    }
    for d in distributions()
}))
"""


def sizes_beside(python: Path, *roots: str) -> dict[str, int]:
    """Return bytes on disk by package, without some packages, what they need, and pip's own."""
    found = json.loads(run([str(python), "-I", "-c", _MEASURE]))
    left_out, waiting = {"pip", "setuptools"}, list(roots)
    while waiting:
        name = waiting.pop()
        if name in found and name not in left_out:
            left_out.add(name)
            waiting += found[name]["needs"]
    return {name: one["bytes"] for name, one in found.items() if name not in left_out}


def run(words: list[str], *, timeout_s: float = 280) -> str:
    """Run a program and return what it printed; its errors are the message of the failure."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def stamp(*parts: str) -> str:
    """Return a short digest of what an environment was made from."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
