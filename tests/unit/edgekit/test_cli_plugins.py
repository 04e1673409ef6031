from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, PathDistribution

import pytest

from edgekit.cli.plugins import (
    GROUP,
    extra_that_brings,
    find_plugins,
    help_of,
    packages_of_extra,
)
from edgekit.errors import MissingExtraError

REQUIRES = [
    "numpy<3,>=1.26",
    'edgekit[cli]; extra == "convert"',
    'torch==2.13.0; extra == "convert"',
    "a-part-nobody-has==1.0; extra == 'fancy'",
]
METADATA = "Metadata-Version: 2.1\nName: thirdparty\nVersion: 1\n"
ENTRIES = """
[edgekit.commands]
plain = thirdparty_plugin:plain
broken = thirdparty_plugin_broken:run [fancy]
group = thirdparty_plugin:app
helpful = thirdparty_plugin:helpful
"""
SOURCE = '''"""What the third party does. More."""
import typer
app = typer.Typer()
helpful = typer.Typer(name="x", help="What the group does.")

@app.command()
def one() -> None:
    """One."""

def plain(name: str) -> None:
    """Say hello to somebody.

    At length.
    """
    typer.echo(f"hello {name}")
'''


@pytest.fixture
def entries(tmp_path, monkeypatch):
    info = tmp_path / "thirdparty-1.dist-info"
    info.mkdir()
    requires = "".join(f"Requires-Dist: {line}\n" for line in REQUIRES)
    (info / "METADATA").write_text(METADATA + requires)
    (info / "entry_points.txt").write_text(ENTRIES)
    (tmp_path / "thirdparty_plugin.py").write_text(SOURCE)
    (tmp_path / "thirdparty_plugin_broken.py").write_text(
        '"""Broken."""\nimport a_part_nobody_has\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    distribution = PathDistribution(info)
    yield {entry.name: entry for entry in distribution.entry_points if entry.group == GROUP}
    for name in ("thirdparty_plugin", "thirdparty_plugin_broken"):
        sys.modules.pop(name, None)


def test_commands_are_listed_by_name_without_importing_them(entries):
    found = {plugin.name: plugin.summary for plugin in find_plugins(entries.values())}
    assert found == {
        "broken": "(needs thirdparty[fancy]) Broken",
        "group": "What the third party does. More",
        "helpful": "What the group does",
        "plain": "Say hello to somebody",
    }
    assert "thirdparty_plugin" not in sys.modules


def test_a_command_whose_extra_is_missing_says_which(entries):
    (plugin,) = find_plugins([entries["broken"]])
    with pytest.raises(MissingExtraError, match=r"edgekit\[fancy\]"):
        plugin.load()


def test_a_bug_in_a_command_keeps_its_traceback(tmp_path, entries):
    (tmp_path / "thirdparty_plugin_broken.py").write_text("import a_module_of_no_extra\n")
    (plugin,) = find_plugins([entries["broken"]])
    with pytest.raises(ModuleNotFoundError, match="a_module_of_no_extra"):
        plugin.load()


def test_of_two_with_one_name_the_first_is_taken(entries):
    twice = [entries["plain"], EntryPoint("plain", "other:run", GROUP)]
    assert [plugin.entry.module for plugin in find_plugins(twice)] == ["thirdparty_plugin"]


def test_a_module_that_is_not_there_has_no_help():
    assert help_of(EntryPoint("x", "no_such_package.module:run", GROUP)) == ""
    assert help_of(EntryPoint("x", "sys:exit", GROUP)) == ""


def test_the_packages_of_an_extra_are_its_own():
    assert packages_of_extra("convert", REQUIRES) == ["torch"]
    assert packages_of_extra("none", REQUIRES) == []


@pytest.mark.parametrize(
    ("package", "extra"),
    [("torch", "convert"), ("a_part_nobody_has", "fancy"), ("numpy", ""), ("x", "")],
)
def test_a_missing_package_leads_to_its_extra(package, extra):
    assert extra_that_brings(package, REQUIRES) == extra
