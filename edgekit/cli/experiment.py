"""edgekit experiment: hold releases side by side, read the effect, promote the winner."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.options import AsJson, Server, TokenFile, connect
from edgekit.cli.output import print_json, print_table, say
from edgekit.client.wire.experiments import ExperimentView, NewExperiment
from edgekit.errors import UsageError

app = typer.Typer(help="A/B experiments: releases side by side, compared by device.")
Experiment = Annotated[str, typer.Argument(help="Id of the experiment.")]


@app.command()
def start(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    *,
    arm: Annotated[list[str], typer.Option(help="version=percent; the first is compared with.")],
    selector: Annotated[str, typer.Option(help="Labels that devices must have.")] = "",
    hold_s: Annotated[float, typer.Option(help="Least time before a winner, seconds.")] = 86400.0,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Hold releases side by side on shares of the devices."""
    wanted = NewExperiment(model=model, arms=arms_of(arm), selector=selector, hold_s=hold_s)
    with connect(server, token_file) as client:
        _print(client.start_experiment(wanted), as_json=as_json)


@app.command("list")
def list_experiments(
    server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """List experiments."""
    with connect(server, token_file) as client:
        found = client.experiments()
    if as_json:
        return print_json(found)
    return print_table(
        ("id", "model", "phase", "winner"), ((v.id, v.model, v.phase, v.winner) for v in found)
    )


@app.command()
def show(
    experiment: Experiment,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show who is in which arm, and what differs, with 95 % intervals between devices."""
    with connect(server, token_file) as client:
        _print(client.experiment(experiment), as_json=as_json)


@app.command()
def stop(
    experiment: Experiment,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """End an experiment; its devices return to what rollouts give them."""
    with connect(server, token_file) as client:
        _print(client.stop_experiment(experiment), as_json=as_json)


@app.command()
def promote(
    experiment: Experiment,
    version: Annotated[str, typer.Argument(help="Arm that won.")],
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """End an experiment and bring one of its releases to every matching device."""
    with connect(server, token_file) as client:
        _print(client.promote_winner(experiment, version), as_json=as_json)


def arms_of(texts: list[str]) -> dict[str, float]:
    """Read arms such as "1.1.0=50".

    Raises:
        UsageError: One is no version and percent, or a version comes twice.
    """
    arms: dict[str, float] = {}
    for text in texts:
        version, _, share = text.rpartition("=")
        try:
            percent = float(share.removesuffix("%"))
        except ValueError:
            percent = -1.0
        if not version or percent < 0 or version in arms:
            raise UsageError("is no new arm", where=text, todo="write it like 1.1.0=50")
        arms[version] = percent
    return arms


def _print(view: ExperimentView, *, as_json: bool) -> None:
    if as_json:
        return print_json(view)
    promoted = f", {view.winner} by rollout {view.rollout}" if view.winner else ""
    ready = "" if view.phase != "running" or view.ready else ", not held long enough yet"
    say(f"experiment {view.id} with {view.model}: {view.phase}{promoted}{ready}")
    print_table(
        ("arm", "percent", "devices", "run it", "labelled", "right"),
        (
            (
                *(a.version, f"{a.share:g}", a.devices, a.running, a.labelled),
                "" if a.accuracy is None else f"{a.accuracy:.1%}",
            )
            for a in view.arms
        ),
    )
    for effect in view.effects:
        say(effect.sentence)
    return None
