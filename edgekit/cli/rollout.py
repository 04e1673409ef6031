"""edgekit rollout: bring a release to devices in stages, watch it, stop it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import AsJson, Server, TokenFile, connect
from edgekit.cli.output import counted, joined, print_json, print_table, say, when
from edgekit.cli.rollout_file import read_rollout, rollout_from_flags
from edgekit.client.http import FleetClient
from edgekit.client.watching import exit_code, watch_rollout
from edgekit.client.wire.rollouts import HappeningView, NewRollout, RolloutView

app = typer.Typer(help="Bring a release to devices in stages, watch it, stop it.")
Rollout = Annotated[str, typer.Argument(help="Id of the rollout.")]
File = Annotated[Path | None, typer.Argument(help="Rollout file (YAML).", show_default=False)]
ModelOption = Annotated[str, typer.Option("--model", help="Instead of a file: the model.")]
VersionOption = Annotated[str, typer.Option("--version", help="Instead of a file: the version.")]
Stages = Annotated[
    list[str] | None,
    typer.Option("--stage", help="1/variant, 5 or 50%, with bake time: 50%:30m. Repeat it."),
]
Selector = Annotated[
    list[str] | None, typer.Option("--selector", help="key=value that devices must have.")
]
Gate = Annotated[list[str] | None, typer.Option("--gate", help="key=value of the gate.")]


@app.command()
def start(
    file: File = None,
    *,
    model: ModelOption = "",
    version: VersionOption = "",
    stage: Stages = None,
    selector: Selector = None,
    gate: Gate = None,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Start a rollout from a file, or from flags."""
    wanted = _wanted(file, model=model, version=version, stage=stage, selector=selector, gate=gate)
    with connect(server, token_file) as client:
        view = client.create_rollout(wanted)
    if as_json:
        return print_json(view)
    say(f"rollout {view.id}: {view.model} {view.version}, {view.stages} stages, {view.phase}")
    return say(f"next: edgekit rollout watch {view.id}")


@app.command()
def plan(
    file: File = None,
    *,
    model: ModelOption = "",
    version: VersionOption = "",
    stage: Stages = None,
    selector: Selector = None,
    gate: Gate = None,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show whom a rollout would reach, stage by stage; changes nothing."""
    wanted = _wanted(file, model=model, version=version, stage=stage, selector=selector, gate=gate)
    with connect(server, token_file) as client:
        rows = client.plan_rollout(wanted)
    if as_json:
        return print_json(rows)
    stages = max((len(row.reached) for row in rows), default=0)
    return print_table(
        ("variant", "devices", "runtimes", *(f"stage {i + 1}" for i in range(stages)), "why not"),
        ((r.variant, r.devices, joined(r.runtimes), *r.reached, r.reason) for r in rows),
    )


@app.command("list")
def list_rollouts(
    server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """List every rollout."""
    with connect(server, token_file) as client:
        rollouts = client.rollouts()
    if as_json:
        return print_json(rollouts)
    return print_table(
        ("id", "model", "version", "phase", "stage", "devices", "started"),
        (
            (r.id, r.model, r.version, r.phase, _stage(r), counted(r.counts), when(r.started_at))
            for r in rollouts
        ),
    )


@app.command()
def show(
    rollout: Rollout, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Show a rollout: its devices, and everything that happened with the numbers behind it."""
    with connect(server, token_file) as client:
        view, deployments = client.rollout(rollout), client.deployments(rollout)
    if as_json:
        return print_json({"rollout": view, "deployments": deployments})
    say(_headline(view))
    for happening in view.happenings:
        _print_happening(happening)
    return print_table(
        ("device", "variant", "kind", "state", "reason", "detail", "offered", "ended"),
        (
            (
                *(d.device, d.variant, d.kind, d.state, d.reason, d.detail),
                *(when(d.offered_at), when(d.ended_at)),
            )
            for d in deployments
        ),
    )


@app.command()
def watch(
    rollout: Rollout,
    interval: Annotated[float, typer.Option(help="Seconds between questions.", min=0.1)] = 1.0,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Follow a rollout until it ends.

    Exit code 0: finished; 1: rolled back or aborted; 3: held, a person has to decide.
    """
    told = 0
    with connect(server, token_file) as client:
        for view in watch_rollout(client, rollout, wait=time.sleep, interval_s=interval):
            if as_json:
                print_json(view)
                continue
            for happening in view.happenings[told:]:
                _print_happening(happening)
            told = len(view.happenings)
            say(_headline(view))
    raise typer.Exit(exit_code(view))


@app.command()
def pause(
    rollout: Rollout, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Offer the release to nobody else until `resume`."""
    _act(FleetClient.pause, rollout, server, token_file, as_json=as_json)


@app.command()
def resume(
    rollout: Rollout, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Go on with a paused or held rollout."""
    _act(FleetClient.resume, rollout, server, token_file, as_json=as_json)


@app.command()
def promote(
    rollout: Rollout, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Go to the next stage without waiting for the gate."""
    _act(FleetClient.promote, rollout, server, token_file, as_json=as_json)


@app.command()
def schema(server: Server = "", token_file: TokenFile = None) -> None:
    """Print the JSON schema of a rollout file."""
    with connect(server, token_file) as client:
        say(json.dumps(client.rollout_schema(), indent=2))


@app.command()
def approve(
    rollout: Rollout, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Let a stage open that waits for somebody else than who started the rollout."""
    _act(FleetClient.approve, rollout, server, token_file, as_json=as_json)


@app.command()
def retry(
    rollout: Rollout, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Offer the release again where it failed, at most twice a device."""
    _act(FleetClient.retry_rollout, rollout, server, token_file, as_json=as_json)


@app.command()
def abort(
    rollout: Rollout, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Stop a rollout; devices that run the release go back."""
    _act(FleetClient.abort, rollout, server, token_file, as_json=as_json)


def _act(
    verb: Callable[[FleetClient, str], RolloutView],
    rollout: str,
    server: str,
    token_file: Path | None,
    *,
    as_json: bool,
) -> None:
    with connect(server, token_file) as client:
        view = verb(client, rollout)
    if as_json:
        return print_json(view)
    return say(_headline(view))


def _wanted(
    file: Path | None,
    *,
    model: str,
    version: str,
    stage: list[str] | None,
    selector: list[str] | None,
    gate: list[str] | None,
) -> NewRollout:
    if file is not None:
        return read_rollout(file)
    return rollout_from_flags(
        model=model,
        version=version,
        stages=stage or [],
        selector=selector or [],
        gate=gate or [],
    )


def _headline(view: RolloutView) -> str:
    devices = counted(view.counts) or "no devices yet"
    waits = f", waits for {view.waits_for}" if view.waits_for else ""
    return (
        f"rollout {view.id}: {view.model} {view.version}: {view.phase},"
        f" stage {_stage(view)}{waits}: {devices}"
    )


def _stage(view: RolloutView) -> str:
    return f"{view.stage + 1} of {view.stages}"


def _print_happening(happening: HappeningView) -> None:
    text = "" if happening.checks else f": {happening.text}"
    say(f"{when(happening.at)} {happening.kind}{text}")
    for check in happening.checks:
        say(f"    {check.verdict}: {check.sentence}")
