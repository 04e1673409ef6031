"""edgekit experiment: hold releases side by side, read the effect, promote the winner."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.asking import asks
from edgekit.cli.output import print_table, say
from edgekit.client.http import FleetClient
from edgekit.client.wire.experiments import ExperimentView, NewExperiment
from edgekit.errors import UsageError

app = typer.Typer(help="A/B experiments: releases side by side, compared by device.")
Experiment = Annotated[str, typer.Argument(help="Id of the experiment.")]


def _print(view: ExperimentView) -> None:
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


def _print_experiments(found: list[ExperimentView]) -> None:
    print_table(
        ("id", "model", "phase", "winner"), ((v.id, v.model, v.phase, v.winner) for v in found)
    )


@asks(app, shows=_print)
def start(
    client: FleetClient,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    *,
    arm: Annotated[list[str], typer.Option(help="version=percent; the first is compared with.")],
    selector: Annotated[str, typer.Option(help="Labels that devices must have.")] = "",
    hold_s: Annotated[float, typer.Option(help="Least time before a winner, seconds.")] = 86400.0,
) -> ExperimentView:
    """Hold releases side by side on shares of the devices."""
    wanted = NewExperiment(model=model, arms=arms_of(arm), selector=selector, hold_s=hold_s)
    return client.start_experiment(wanted)


@asks(app, "list", shows=_print_experiments)
def list_experiments(client: FleetClient) -> list[ExperimentView]:
    """List experiments."""
    return client.experiments()


@asks(app, shows=_print)
def show(client: FleetClient, experiment: Experiment) -> ExperimentView:
    """Show who is in which arm, and what differs, with 95 % intervals between devices."""
    return client.experiment(experiment)


@asks(app, shows=_print)
def stop(client: FleetClient, experiment: Experiment) -> ExperimentView:
    """End an experiment; its devices return to what rollouts give them."""
    return client.stop_experiment(experiment)


@asks(app, shows=_print)
def promote(
    client: FleetClient,
    experiment: Experiment,
    version: Annotated[str, typer.Argument(help="Arm that won.")],
) -> ExperimentView:
    """End an experiment and bring one of its releases to every matching device."""
    return client.promote_winner(experiment, version)


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
