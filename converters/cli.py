"""The commands `edgekit convert` and `edgekit inspect`: parse, one call, print.

Importing this module is cheap: the libraries that convert are imported when a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit import codec
from edgekit.bundle import open_bundle

_TARGETS = "onnx-fp32,onnx-int8,tflite-int8"


def convert(
    source: Annotated[str, typer.Argument(help="Factory package.module:function, or a .onnx file")],
    *,
    evaluation: Annotated[Path, typer.Option(help="Held-out .npz: images and labels")],
    out: Annotated[Path, typer.Option(help="Folder for the bundles and report.json")],
    model: Annotated[str, typer.Option(help="Name of the model")],
    version: Annotated[str, typer.Option(help="Version of the release")],
    calibration: Annotated[
        Path | None, typer.Option(help=".npz with images for int8 ranges, 32 at least")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="state_dict for the module: .pt or .safetensors")
    ] = None,
    target: Annotated[str, typer.Option(help="Variants to make, by commas")] = _TARGETS,
    input_: Annotated[
        str, typer.Option("--input", help="name=1x3x224x224:float32; else by the preprocessing")
    ] = "",
    preprocessing: Annotated[str, typer.Option(help="JSON or YAML file, or JSON in place")] = "",
    labels: Annotated[str, typer.Option(help="Class names by commas, or a file of lines")] = "",
    golden: Annotated[int, typer.Option(help="Golden samples in each bundle", min=1)] = 16,
    threads: Annotated[int, typer.Option(help="Threads while proving and measuring", min=1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON")] = False,
) -> None:
    """Convert a trained model into bundles, and prove that they still compute the same."""
    from converters import plan as p
    from converters import show

    conversion = p.ConversionPlan(
        source=source,
        model=model,
        version=version,
        variants=tuple(name.strip() for name in target.split(",") if name.strip()),
        evaluation=evaluation,
        out=out,
        calibration=calibration,
        weights=weights,
        input=p.parse_input(input_) if input_ else None,
        preprocessing=p.read_preprocessing(preprocessing) if preprocessing else None,
        labels=p.read_labels(labels) if labels else (),
        golden_count=golden,
        threads=threads,
    )
    report = show.convert_with_progress(conversion)
    typer.echo(codec.encode(report)) if as_json else show.print_report(report, out)


def inspect(
    bundle: Annotated[Path, typer.Argument(help="A .bundle file")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON")] = False,
) -> None:
    """Show what is in a bundle, after verifying every file against its manifest."""
    from converters import show

    opened = open_bundle(bundle)
    if as_json:
        facts = {"path": str(opened.path), "sha256": opened.sha256, "size": opened.size}
        typer.echo(codec.encode({**facts, "manifest": opened.manifest}))
    else:
        show.print_bundle(opened)
