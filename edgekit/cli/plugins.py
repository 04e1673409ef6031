"""Commands that others bring: entry points of the group "edgekit.commands".

Listing them imports nothing: the help line is read from the source, and the packages that an
extra needs are looked up in the metadata of what is installed.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgekit.errors import MissingExtraError

GROUP = "edgekit.commands"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One command that somebody brings.

    Attributes:
        name: Word on the command line.
        summary: One line for the list; names the extra that is missing, if one is.
        entry: Loads it.
    """

    name: str
    summary: str
    entry: metadata.EntryPoint

    def load(self) -> object:
        """Import the command.

        Raises:
            MissingExtraError: A package of one of its distribution's extras is not installed.
        """
        try:
            return self.entry.load()
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            extra = extra_that_brings(package, _requirements(self.entry))
            if not extra:
                raise
            raise MissingExtraError(package, extra) from error


def find_plugins(entries: Iterable[metadata.EntryPoint] | None = None) -> list[Plugin]:
    """Return the commands that are installed, by name; of two with one name, the first.

    Args:
        entries: None takes those of the installed distributions.
    """
    found: dict[str, Plugin] = {}
    for entry in metadata.entry_points(group=GROUP) if entries is None else entries:
        missing = missing_extra(entry)
        summary = f"(needs {missing}) {help_of(entry)}" if missing else help_of(entry)
        found.setdefault(entry.name, Plugin(name=entry.name, summary=summary.strip(), entry=entry))
    return [found[name] for name in sorted(found)]


def missing_extra(entry: metadata.EntryPoint) -> str:
    """Return the extra, such as "edgekit[convert]", that the entry names and that is not there."""
    requirements = _requirements(entry)
    for extra in entry.extras:
        if any(not _installed(name) for name in packages_of_extra(extra, requirements)):
            return f"{_distribution_name(entry)}[{extra}]"
    return ""


def packages_of_extra(extra: str, requirements: Iterable[str]) -> list[str]:
    """Return the names of the packages that an extra asks for, other extras left out."""
    names = []
    for requirement in requirements:
        name = _NAME.match(requirement)
        marker = _EXTRA.search(requirement)
        if name and marker and marker[1] == extra and "[" not in requirement.partition(";")[0]:
            names.append(name[0])
    return names


def extra_that_brings(package: str, requirements: Iterable[str]) -> str:
    """Return the first extra that asks for a package, or empty."""
    wanted = package.lower().replace("_", "-")
    for requirement in requirements:
        name = _NAME.match(requirement)
        marker = _EXTRA.search(requirement)
        if name and marker and name[0].lower().replace("_", "-") == wanted:
            return marker[1]
    return ""


def help_of(entry: metadata.EntryPoint) -> str:
    """Return one line about what an entry names, read from its source.

    A function's docstring, the `help` of a `typer.Typer(...)`, else the docstring of the module;
    empty when the source cannot be found.
    """
    try:
        spec = importlib.util.find_spec(entry.module)
        if spec is None or not spec.origin:
            return ""
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (ImportError, OSError, SyntaxError, ValueError):
        return ""
    said = next((text for node in tree.body if (text := _said_by(node, entry.attr))), "")
    return (said or ast.get_docstring(tree) or "").partition("\n")[0].rstrip(".")


def _said_by(node: ast.stmt, name: str) -> str:
    """Return what a top-level statement says about `name`, if it defines it."""
    match node:
        case ast.FunctionDef(name=defined) if defined == name:
            return ast.get_docstring(node) or ""
        case ast.Assign(targets=[ast.Name(id=assigned)], value=ast.Call(keywords=keywords)):
            if assigned == name:
                texts = [k.value for k in keywords if k.arg == "help"]
                return next((str(t.value) for t in texts if isinstance(t, ast.Constant)), "")
        case _:
            pass
    return ""


def own_requirements() -> list[str]:
    """Return what EdgeKit itself asks for; nothing when it runs without being installed."""
    try:
        return list(metadata.requires("edgekit") or [])
    except metadata.PackageNotFoundError:
        return []


def _requirements(entry: metadata.EntryPoint) -> list[str]:
    return list(entry.dist.requires or []) if entry.dist else []


def _distribution_name(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module.partition(".")[0]


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
