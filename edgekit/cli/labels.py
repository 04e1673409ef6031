"""edgekit labels: what samples really showed, and how often models were right in the field."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import AsJson, Server, TokenFile, connect
from edgekit.cli.output import print_json, print_table, say
from edgekit.errors import UsageError

app = typer.Typer(help="Labels that come later, and the accuracy in the field that they give.")
AT_ONCE = 5000
Model = Annotated[str, typer.Argument(help="Name of the model.")]


@app.command()
def add(
    model: Model,
    file: Annotated[Path, typer.Argument(help="CSV (id,label) or JSON lines ({id, label}).")],
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what samples really showed, by the id of the request that carried them."""
    pairs = list(read_labels(file))
    stored = matched = 0
    with connect(server, token_file) as client:
        for start in range(0, len(pairs), AT_ONCE):
            taken = client.add_labels(model, dict(pairs[start : start + AT_ONCE]))
            stored, matched = stored + taken.labels, matched + taken.matched
    if as_json:
        return print_json({"labels": stored, "matched": matched})
    return say(f"{stored} labels, {matched} of them for answers that devices recorded")


@app.command()
def accuracy(
    model: Model,
    version: Annotated[str, typer.Argument(help="Only this release.")] = "",
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the accuracy in the field of each release and variant that has labels."""
    with connect(server, token_file) as client:
        found = client.accuracy(model, version)
    if as_json:
        return print_json(found)
    return print_table(
        ("version", "variant", "devices", "labelled", "right", "accuracy", "95 % interval"),
        (
            (
                *(v.version, v.variant, v.devices, v.labelled, v.right, f"{v.accuracy:.1%}"),
                f"{v.low:.1%} to {v.high:.1%}",
            )
            for v in found
        ),
    )


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
