"""The `edgekit` command as a process: what is missing, what is passed on, what a bug looks like."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit import __version__

pytestmark = pytest.mark.integration


def edgekit(*words: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys\n{before}\nfrom edgekit.cli import main\nsys.exit(main({list(words)!r}))"
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, **environment},
    )


def test_the_version_is_the_packages():
    done = edgekit("--version")
    assert (done.returncode, done.stdout) == (0, f"edgekit {__version__}\n")


@pytest.mark.parametrize("package", ["typer", "rich", "yaml", "urllib3"])
def test_without_the_cli_extra_one_line_says_how_to_get_it(package):
    words = ["rollout", "list", "--server", "http://127.0.0.1:9"]
    done = edgekit(*words, before=f"sys.modules[{package!r}] = None", EDGEKIT_TOKEN="t")
    assert done.returncode == 16
    what = f"this needs {package!r}, which is not installed"
    assert done.stderr == f"edgekit: {what}; run: pip install 'edgekit[cli]'\n"


@pytest.mark.parametrize(
    ("words", "hidden", "extra"),
    [
        (["server", "run", "x"], "fastapi", "server"),
        (["server", "init", "x"], "sqlalchemy", "server"),
        (["keys", "show", "x"], "cryptography", "trust"),
    ],
    ids=["server run", "server init", "keys"],
)
def test_a_command_without_its_extra_says_which_one_it_needs(words, hidden, extra, tmp_path):
    before = f"sys.modules[{hidden!r}] = None"
    done = edgekit(*[str(tmp_path / w) if w == "x" else w for w in words], before=before)
    assert (done.returncode, f"edgekit[{extra}]" in done.stderr) == (16, True), done.stderr
    assert done.stderr.count("\n") == 1


def test_every_part_is_listed_even_if_it_cannot_be_loaded():
    done = edgekit("--help", before="sys.modules['torch'] = sys.modules['fastapi'] = None")
    assert done.returncode == 0
    for command in ("convert", "inspect", "server", "agent", "demo", "rollout"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("words", [["agent", "--help"], ["demo", "--help"]], ids=" ".join)
def test_programs_with_their_own_parser_get_every_argument(words):
    done = edgekit(*words)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ")


def test_the_agents_exit_code_is_passed_on(tmp_path):
    done = edgekit("agent", "no-such-command")
    assert done.returncode == 2


def test_a_bug_shows_its_traceback_and_code_70():
    done = edgekit("keys", "show", "x", before="import edgekit.cli.app as a; a._module = None")
    assert done.returncode == 70
    assert "Traceback" in done.stderr


def test_a_reader_who_goes_away_is_no_error():
    script = f"{sys.executable} -m edgekit.cli --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=180, check=False
    )
    assert (done.returncode, done.stderr) in {(0, ""), (1, "")}


def test_the_installed_script_and_the_module_are_one():
    script = Path(sys.executable).with_name("edgekit")
    for command in ([str(script)], [sys.executable, "-m", "edgekit.cli"]):
        done = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=180, check=True
        )
        assert done.stdout == f"edgekit {__version__}\n"


THIRD_PARTY = '''"""What a third party brings."""
import typer

app = typer.Typer(help="A group of theirs.")

@app.command()
def only() -> None:
    """Say so."""
    typer.echo("theirs")

def hello(name: str, *, loud: bool = False) -> None:
    """Greet somebody."""
    typer.echo(name.upper() if loud else name)
'''


@pytest.fixture
def third_party(tmp_path: Path) -> str:
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[edgekit.commands]\ngroup = theirs:app\nhello = theirs:hello\nrollout = theirs:hello\n"
    )
    (tmp_path / "theirs.py").write_text(THIRD_PARTY)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["group", "only"], "theirs\n"),
        (["hello", "you"], "you\n"),
        (["hello", "you", "--loud"], "YOU\n"),
    ],
    ids=["group", "command", "option"],
)
def test_a_third_party_brings_groups_and_commands(third_party, words, said):
    done = edgekit(*words, PYTHONPATH=third_party)
    assert (done.returncode, done.stdout) == (0, said), done.stderr


def test_a_third_party_does_not_replace_our_own_commands(third_party):
    done = edgekit("rollout", "--help", PYTHONPATH=third_party)
    assert "watch" in done.stdout
