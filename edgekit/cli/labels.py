"""edgekit labels: what samples really showed, and how often models were right in the field."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.asking import asks
from edgekit.cli.options import Model
from edgekit.cli.output import print_table, say
from edgekit.client.http import FleetClient
from edgekit.client.wire.field import AccuracyView, LabelsTaken
from edgekit.errors import UsageError

app = typer.Typer(help="Labels that come later, and the accuracy in the field that they give.")
AT_ONCE = 5000


def _print_taken(taken: LabelsTaken) -> None:
    say(f"{taken.labels} labels, {taken.matched} of them for answers that devices recorded")


def _print_accuracy(found: list[AccuracyView]) -> None:
    print_table(
        ("version", "variant", "devices", "labelled", "right", "accuracy", "95 % interval"),
        (
            (
                *(v.version, v.variant, v.devices, v.labelled, v.right, f"{v.accuracy:.1%}"),
                f"{v.low:.1%} to {v.high:.1%}",
            )
            for v in found
        ),
    )


@asks(app, shows=_print_taken)
def add(
    client: FleetClient,
    model: Model,
    file: Annotated[Path, typer.Argument(help="CSV (id,label) or JSON lines ({id, label}).")],
) -> LabelsTaken:
    """Say what samples really showed, by the id of the request that carried them."""
    pairs = list(read_labels(file))
    labels = matched = 0
    for start in range(0, len(pairs), AT_ONCE):
        taken = client.add_labels(model, dict(pairs[start : start + AT_ONCE]))
        labels, matched = labels + taken.labels, matched + taken.matched
    return LabelsTaken(labels=labels, matched=matched)


@asks(app, shows=_print_accuracy)
def accuracy(
    client: FleetClient,
    model: Model,
    version: Annotated[str, typer.Argument(help="Only this release.")] = "",
) -> list[AccuracyView]:
    """Print the accuracy in the field of each release and variant that has labels."""
    return client.accuracy(model, version)


def read_labels(file: Path) -> Iterator[tuple[str, str]]:
    """Read pairs of id and label.

    Raises:
        UsageError: The file cannot be read, or a line holds no pair.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot be read as text", where=str(file)) from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            pair = _pair(line)
            if pair is None:
                raise UsageError("holds no id and label", where=f"{file} line {number}")
            if pair != ("id", "label"):
                yield pair


def _pair(line: str) -> tuple[str, str] | None:
    if line.lstrip().startswith("{"):
        try:
            said = json.loads(line)
        except ValueError:
            return None
        return (str(said["id"]), str(said["label"])) if {"id", "label"} <= said.keys() else None
    fields = next(csv.reader([line]))
    return (fields[0].strip(), fields[1].strip()) if len(fields) == 2 else None
