"""`edgekit demo`: the chapters in order, the closing table, and the exit code."""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from edgekit import codec
from edgekit.demo.chapters import outage, preparation, refusals, rollouts
from edgekit.demo.fleet import new_fleet
from edgekit.demo.leftovers import stop_leftovers
from edgekit.demo.observing import ever_ran
from edgekit.demo.outcome import DemoResult, Row, closing_table, ran_table
from edgekit.demo.processes import Commands
from edgekit.demo.scene import Scene
from edgekit.errors import EdgeKitError, UsageError

CHAPTERS: tuple[Callable[[Scene], None], ...] = (
    preparation.train,
    preparation.convert,
    preparation.start_fleet,
    rollouts.first_install,
    rollouts.staged_update,
    rollouts.slow_release,
    refusals.golden_mismatch,
    refusals.tampered_bundle,
    refusals.untrusted_key,
    refusals.other_model,
    outage.outage,
)
MARKER = ".edgekit-demo"


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return 0 only if everything that was expected was observed."""
    arguments = _parser().parse_args(argv)
    console = Console(stderr=arguments.json, highlight=False)
    if arguments.stop:
        console.print(f"{stop_leftovers(arguments.out)} processes stopped")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scene = _scene(fresh_folder(arguments.out), console)
    kept = False
    try:
        result = tell(scene)
        _show(scene, result, as_json=arguments.json)
        if kept := arguments.keep:
            _keep(scene)
    finally:
        if not kept:
            scene.fleet.stop()
    return 0 if result.ok else 1


def tell(scene: Scene) -> DemoResult:
    """Play every chapter; one that breaks down ends the story and is a row that does not hold."""
    for chapter in CHAPTERS:
        try:
            chapter(scene)
        except EdgeKitError as error:
            name = chapter.__name__.replace("_", " ")
            scene.note(Row(chapter=name, expected="no error", observed=str(error), holds=False))
            break
    complete = len(scene.rows) >= len(CHAPTERS) - 1
    return DemoResult(
        ok=complete and all(row.holds for row in scene.rows),
        seconds=time.monotonic() - scene.started,
        rows=tuple(scene.rows),
        ran={version: _ran(scene, version) for version in sorted(scene.digests)},
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgekit demo",
        description="One model all the way on this machine: train, convert, roll out, go back.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo-run"), help="folder for everything (demo-run)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the fleet running and print its address"
    )
    parser.add_argument("--stop", action="store_true", help="stop a fleet that --keep left running")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def fresh_folder(folder: Path) -> Path:
    """Make the folder anew; delete only what an earlier demo made."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UsageError(
            "is not empty and no demo made it", where=str(folder), todo="name another with --out"
        )
    stop_leftovers(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()
    return folder.resolve()


def _scene(folder: Path, console: Console) -> Scene:
    environment = {
        "EDGEKIT_PASSPHRASE": secrets.token_urlsafe(16),
        "EDGEKIT_TOKEN_FILE": str(folder / "fleet" / "server" / "admin.token"),
    }
    commands = Commands(environment=environment, log=folder / "commands.log")
    fleet = new_fleet(folder / "fleet", commands)
    environment["EDGEKIT_SERVER"] = fleet.url
    return Scene(
        folder=folder, console=console, commands=commands, fleet=fleet, started=time.monotonic()
    )


def _ran(scene: Scene, version: str) -> tuple[str, ...]:
    try:
        return ever_ran(scene, version)
    except EdgeKitError:
        return ()


def _show(scene: Scene, result: DemoResult, *, as_json: bool) -> None:
    scene.console.print()
    scene.console.print(ran_table(result))
    scene.console.print(closing_table(result))
    file = scene.folder / "result.json"
    file.write_bytes(codec.encode(result))
    word = "everything as expected" if result.ok else "NOT everything as expected"
    scene.console.print(f"{word}, {result.seconds:.0f} s; the same as JSON: {file}")
    if as_json:
        sys.stdout.write(codec.encode(result).decode() + "\n")


def _keep(scene: Scene) -> None:
    fleet = scene.fleet
    scene.console.print(
        f"\nThe fleet goes on running at {fleet.url}:\n"
        f"  export EDGEKIT_SERVER={fleet.url} EDGEKIT_TOKEN_FILE={fleet.data / 'admin.token'}\n"
        f"  edgekit device list\n"
        f"  edgekit demo --stop --out {scene.folder}",
        soft_wrap=True,
    )
