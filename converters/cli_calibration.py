"""The command `edgekit calibration`: the object that int8 ranges are taken from.

Importing this module is cheap: the libraries that read samples are imported when a command runs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from edgekit import codec
from edgekit.errors import StorageError

app = typer.Typer(no_args_is_help=True, help="Samples that int8 ranges are taken from.")


@app.callback()
def calibration() -> None:
    """Samples that int8 ranges are taken from."""


@app.command()
def build(
    data: Annotated[
        str, typer.Argument(help=".npz, folder of images, video, .parquet or module:function")
    ],
    *,
    preprocessing: Annotated[str, typer.Option(help="JSON or YAML file, or JSON in place")] = "",
    most: Annotated[int, typer.Option(help="Most samples, evenly chosen; 0 for all", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the object to this .npz")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is known as JSON")] = False,
) -> None:
    """Check samples and keep them in one file, which every later conversion reuses."""
    from converters import show
    from converters.cache import Cache, default_folder
    from converters.declared import read_preprocessing

    size = read_preprocessing(preprocessing) if preprocessing else None
    collected = show.collect_with_progress(data, size, Cache(default_folder()), most)
    if out is not None:
        try:
            shutil.copyfile(collected.path, out)
        except OSError as error:
            raise StorageError(f"cannot be written: {error.strerror}", where=str(out)) from error
    typer.echo(codec.encode(collected)) if as_json else show.print_collected(collected)
