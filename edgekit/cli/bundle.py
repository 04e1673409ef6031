"""edgekit bundle: check bundle files on this machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from edgekit.bundle import Bundle, open_bundle
from edgekit.cli.options import AsJson
from edgekit.cli.output import print_json, print_table, short
from edgekit.cli.release import bundle_files
from edgekit.golden import check_golden, read_golden
from edgekit.runtime import open_session

app = typer.Typer(help="Check bundle files.")
Files = Annotated[list[Path], typer.Argument(help="Bundles, or folders of bundles.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRow:
    """One line of what is printed.

    Attributes:
        max_abs_diff: Largest difference of a golden sample here; None if not recomputed.
    """

    path: str
    model: str
    version: str
    variant: str
    sha256: str
    size: int
    max_abs_diff: float | None = None


@app.command("list")
def list_bundles(files: Files, as_json: AsJson = False) -> None:
    """List bundles; each is opened, so a damaged one is an error."""
    _print([_row(open_bundle(file)) for file in bundle_files(files)], as_json=as_json)


@app.command()
def verify(files: Files, as_json: AsJson = False) -> None:
    """Check every digest and recompute the golden samples on this machine."""
    rows = []
    for file in bundle_files(files):
        bundle = open_bundle(file)
        rows.append(_row(bundle, _golden_difference(bundle)))
    _print(rows, as_json=as_json)


def _golden_difference(bundle: Bundle) -> float:
    manifest = bundle.manifest
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / Path(manifest.file).name
        model.write_bytes(bundle.read(manifest.file))
        return check_golden(open_session(model, manifest.format), read_golden(bundle), manifest)


def _row(bundle: Bundle, max_abs_diff: float | None = None) -> BundleRow:
    return BundleRow(
        path=str(bundle.path),
        model=bundle.manifest.model,
        version=bundle.manifest.version,
        variant=bundle.manifest.variant,
        sha256=bundle.sha256,
        size=bundle.size,
        max_abs_diff=max_abs_diff,
    )


def _print(rows: list[BundleRow], *, as_json: bool) -> None:
    if as_json:
        return print_json(rows)
    return print_table(
        ("bundle", "model", "version", "variant", "bytes", "sha256", "worst golden difference"),
        (
            (r.path, r.model, r.version, r.variant, r.size, short(r.sha256), r.max_abs_diff)
            for r in rows
        ),
    )
