"""edgekit rollout: bring a release to devices in stages, watch it, stop it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from edgekit.cli.asking import asks
from edgekit.cli.options import AsJson
from edgekit.cli.output import counted, joined, print_json, print_table, say, when
from edgekit.cli.rollout_file import read_rollout, rollout_from_flags
from edgekit.client.http import FleetClient
from edgekit.client.watching import exit_code, watch_rollout
from edgekit.client.wire.rollouts import (
    DeploymentView,
    HappeningView,
    NewRollout,
    PlanRow,
    RolloutView,
)

T = TypeVar("T")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """What `show` prints: a rollout and its devices."""

    rollout: RolloutView
    deployments: list[DeploymentView]


def _from_file_or_flags(ask: Callable[[FleetClient, NewRollout], T]) -> Callable[..., T]:
    """Let a command take its rollout from a file, or from flags."""

    def asked(
        client: FleetClient,
        file: File = None,
        *,
        model: ModelOption = "",
        version: VersionOption = "",
        stage: Stages = None,
        selector: Selector = None,
        gate: Gate = None,
    ) -> T:
        if file is not None:
            return ask(client, read_rollout(file))
        wanted = rollout_from_flags(
            model=model,
            version=version,
            stages=stage or [],
            selector=selector or [],
            gate=gate or [],
        )
        return ask(client, wanted)

    asked.__name__, asked.__doc__ = ask.__name__, ask.__doc__
    return asked


def _print_started(view: RolloutView) -> None:
    say(f"rollout {view.id}: {view.model} {view.version}, {view.stages} stages, {view.phase}")
    say(f"next: edgekit rollout watch {view.id}")


def _print_plan(rows: list[PlanRow]) -> None:
    stages = max((len(row.reached) for row in rows), default=0)
    print_table(
        ("variant", "devices", "runtimes", *(f"stage {i + 1}" for i in range(stages)), "why not"),
        ((r.variant, r.devices, joined(r.runtimes), *r.reached, r.reason) for r in rows),
    )


def _print_rollouts(rollouts: list[RolloutView]) -> None:
    print_table(
        ("id", "model", "version", "phase", "stage", "devices", "started"),
        (
            (r.id, r.model, r.version, r.phase, _stage(r), counted(r.counts), when(r.started_at))
            for r in rollouts
        ),
    )


def _print_whole(whole: _Whole) -> None:
    _print_headline(whole.rollout)
    for happening in whole.rollout.happenings:
        _print_happening(happening)
    print_table(
        ("device", "variant", "kind", "state", "reason", "detail", "offered", "ended"),
        (
            (
                *(d.device, d.variant, d.kind, d.state, d.reason, d.detail),
                *(when(d.offered_at), when(d.ended_at)),
            )
            for d in whole.deployments
        ),
    )


def _print_headline(view: RolloutView) -> None:
    devices = counted(view.counts) or "no devices yet"
    waits = f", waits for {view.waits_for}" if view.waits_for else ""
    say(
        f"rollout {view.id}: {view.model} {view.version}: {view.phase},"
        f" stage {_stage(view)}{waits}: {devices}"
    )


def _print_happening(happening: HappeningView) -> None:
    text = "" if happening.checks else f": {happening.text}"
    say(f"{when(happening.at)} {happening.kind}{text}")
    for check in happening.checks:
        say(f"    {check.verdict}: {check.sentence}")


def _stage(view: RolloutView) -> str:
    return f"{view.stage + 1} of {view.stages}"


@asks(app, shows=_print_started)
@_from_file_or_flags
def start(client: FleetClient, wanted: NewRollout) -> RolloutView:
    """Start a rollout from a file, or from flags."""
    return client.create_rollout(wanted)


@asks(app, shows=_print_plan)
@_from_file_or_flags
def plan(client: FleetClient, wanted: NewRollout) -> list[PlanRow]:
    """Show whom a rollout would reach, stage by stage; changes nothing."""
    return client.plan_rollout(wanted)


@asks(app, "list", shows=_print_rollouts)
def list_rollouts(client: FleetClient) -> list[RolloutView]:
    """List every rollout."""
    return client.rollouts()


@asks(app, shows=_print_whole)
def show(client: FleetClient, rollout: Rollout) -> _Whole:
    """Show a rollout: its devices, and everything that happened with the numbers behind it."""
    return _Whole(rollout=client.rollout(rollout), deployments=client.deployments(rollout))


@asks(app)
def watch(
    client: FleetClient,
    rollout: Rollout,
    interval: Annotated[float, typer.Option(help="Seconds between questions.", min=0.1)] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Follow a rollout until it ends.

    Exit code 0: finished; 1: rolled back or aborted; 3: held, a person has to decide.
    """
    told = 0
    for view in watch_rollout(client, rollout, wait=time.sleep, interval_s=interval):
        if as_json:
            print_json(view)
            continue
        for happening in view.happenings[told:]:
            _print_happening(happening)
        told = len(view.happenings)
        _print_headline(view)
    raise typer.Exit(exit_code(view))


@asks(app, shows=_print_headline)
def pause(client: FleetClient, rollout: Rollout) -> RolloutView:
    """Offer the release to nobody else until `resume`."""
    return client.pause(rollout)


@asks(app, shows=_print_headline)
def resume(client: FleetClient, rollout: Rollout) -> RolloutView:
    """Go on with a paused or held rollout."""
    return client.resume(rollout)


@asks(app, shows=_print_headline)
def promote(client: FleetClient, rollout: Rollout) -> RolloutView:
    """Go to the next stage without waiting for the gate."""
    return client.promote(rollout)


@asks(app)
def schema(client: FleetClient) -> None:
    """Print the JSON schema of a rollout file."""
    say(json.dumps(client.rollout_schema(), indent=2))


@asks(app, shows=_print_headline)
def approve(client: FleetClient, rollout: Rollout) -> RolloutView:
    """Let a stage open that waits for somebody else than who started the rollout."""
    return client.approve(rollout)


@asks(app, shows=_print_headline)
def retry(client: FleetClient, rollout: Rollout) -> RolloutView:
    """Offer the release again where it failed, at most twice a device."""
    return client.retry_rollout(rollout)


@asks(app, shows=_print_headline)
def abort(client: FleetClient, rollout: Rollout) -> RolloutView:
    """Stop a rollout; devices that run the release go back."""
    return client.abort(rollout)
