"""What every chapter of the demo shares: folder, commands, client, fleet, and what was observed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from edgekit.client.http import FleetClient
from edgekit.demo.fleet import Fleet
from edgekit.demo.outcome import Row
from edgekit.demo.processes import Commands, wait_for
from edgekit.errors import EdgeKitError

MODEL = "digits"


@dataclass(slots=True, kw_only=True)
class Scene:
    """The stage on which the story plays; chapters add rows to it.

    Attributes:
        folder: Everything that the demo writes lies here.
        console: Where progress goes.
        commands: The public commands.
        fleet: The server and the agents, as processes.
        started: Monotonic time at the start, seconds.
        rows: What was expected and observed so far.
        digests: Release to variant to digest of its bundle.
    """

    folder: Path
    console: Console
    commands: Commands
    fleet: Fleet
    started: float
    rows: list[Row] = field(default_factory=list)
    digests: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def client(self) -> FleetClient:
        """The typed client, logged in as the operator."""
        return self.fleet.client()

    @property
    def training(self) -> Path:
        """Weights and data."""
        return self.folder / "training"

    @property
    def keys(self) -> Path:
        """The engineer's key store."""
        return self.folder / "keys"

    def release(self, version: str, *, model: str = MODEL) -> Path:
        """Folder of a release's bundles."""
        return self.folder / "releases" / f"{model}-{version}"

    def wait_until_healthy(self) -> None:
        """Wait until the server answers."""
        wait_for("the server answers", self._healthy, timeout_s=30)

    def chapter(self, title: str) -> None:
        """Show that a chapter begins."""
        self.console.print(f"\n[bold]{title}[/]  [dim]{self._clock()}[/]")

    def say(self, text: str) -> None:
        """Show one thing that happened."""
        self.console.print(f"  [dim]{self._clock()}[/] {text}")

    def note(self, row: Row) -> None:
        """Keep what was observed, and show it."""
        self.rows.append(row)
        mark = "[green]as expected[/]" if row.holds else "[bold red]NOT AS EXPECTED[/]"
        self.say(f"{mark}: {row.observed}")

    def _healthy(self) -> bool:
        try:
            return bool(self.client.health().status)
        except (EdgeKitError, OSError):
            return False

    def _clock(self) -> str:
        return f"{time.monotonic() - self.started:5.1f} s"
