"""The commands convert, preflight, package, diff and inspect: parse, one call, print.

Importing this module is cheap: the libraries that convert are imported when a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgekit import codec
from edgekit.bundle import open_bundle

if TYPE_CHECKING:
    from converters.choice import Objective
    from converters.profiles import Profile

_TARGETS = "onnx-fp32,onnx-int8,tflite-int8"


Calibration = Annotated[
    str,
    typer.Option(help="32 samples at least, for int8: as --evaluation, .parquet, module:function"),
]
KeepNothing = Annotated[
    bool, typer.Option("--no-cache", help="Begin anew, and keep nothing for the next run")
]
Weights = Annotated[
    Path | None, typer.Option(help="state_dict for the module: .pt or .safetensors")
]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", help="name=1x3x224x224:float32, one for each; else derived"),
]
Dynamic = Annotated[list[str] | None, typer.Option(help="batch=1..8 for a size named in --input")]
States = Annotated[
    list[str] | None, typer.Option(help="input=output: state fed back between inferences")
]
MetricName = Annotated[
    str, typer.Option(help="top1, top5, f1, map, mae, psnr, agreement, parity, module:function")
]
MaxAccuracyDrop = Annotated[
    float | None,
    typer.Option(help="Largest loss, percentage points: a contract. Exit 1 beyond, 3 unsure"),
]
Evaluation = Annotated[Path, typer.Option(help="Held-out .npz (images, labels), folder or video")]
Targets = Annotated[
    str, typer.Option(help=f"Variants to make, by commas; else the profiles', or {_TARGETS}")
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(help="Kind of device that it is for, or a YAML file; repeatable"),
]
WhatCounts = Annotated[
    Literal["latency", "size"] | None,
    typer.Option(help="What decides which variant devices prefer, as measured here"),
]
AllowSlower = Annotated[
    bool, typer.Option("--allow-slower", help="Keep int8 that is slower here than its float")
]
Declared = Annotated[str, typer.Option(help="JSON or YAML file, or JSON in place")]
Parameters = Annotated[
    str, typer.Option(help="JSON schema of what may be set on each device: file, or in place")
]


def convert(
    source: Annotated[str, typer.Argument(help="package.module:function, .onnx or .pt2")],
    *,
    evaluation: Evaluation,
    out: Annotated[Path, typer.Option(help="Folder for the bundles and report.json")],
    model: Annotated[str, typer.Option(help="Name of the model")],
    version: Annotated[str, typer.Option(help="Version of the release")],
    calibration: Calibration = "",
    weights: Weights = None,
    target: Targets = "",
    profile: Profiles = None,
    objective: WhatCounts = None,
    input_: Inputs = None,
    dynamic: Dynamic = None,
    state: States = None,
    metric: MetricName = "top1",
    preprocessing: Declared = "",
    postprocessing: Declared = "",
    labels: Annotated[str, typer.Option(help="Class names by commas, or a file of lines")] = "",
    parameters: Parameters = "",
    max_accuracy_drop: MaxAccuracyDrop = None,
    allow_slower: AllowSlower = False,
    golden: Annotated[int, typer.Option(help="Golden samples in each bundle", min=1)] = 16,
    threads: Annotated[int, typer.Option(help="Threads while proving and measuring", min=1)] = 1,
    no_cache: KeepNothing = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON")] = False,
) -> None:
    """Convert a trained model into bundles, and prove that they still compute the same."""
    from converters import declared as d
    from converters import plan as p
    from converters import show

    profiles = _profiles(profile)
    conversion = p.ConversionPlan(
        source=source,
        model=model,
        version=version,
        variants=_variants(target, profiles),
        profiles=profiles,
        objective=_objective(objective),
        evaluation=evaluation,
        out=out,
        calibration=calibration or None,
        weights=weights,
        inputs=tuple(p.parse_input(text) for text in input_ or ()),
        dynamic=dict(p.parse_dynamic(text) for text in dynamic or ()),
        state=tuple(p.parse_state(text) for text in state or ()),
        metric=metric,
        preprocessing=d.read_preprocessing(preprocessing) if preprocessing else None,
        postprocessing=d.read_postprocessing(postprocessing) if postprocessing else None,
        labels=d.read_labels(labels) if labels else (),
        parameters_schema=d.read_parameters(parameters) if parameters else None,
        max_accuracy_drop=max_accuracy_drop,
        allow_slower=allow_slower,
        golden_count=golden,
        threads=threads,
        cache=_cache(unused=no_cache),
    )
    report = show.convert_with_progress(conversion)
    typer.echo(codec.encode(report)) if as_json else show.print_report(report, out)


def _profiles(names: list[str] | None) -> tuple[Profile, ...]:
    from converters.profiles import read_profile

    return tuple(read_profile(name) for name in names or ())


def _cache(*, unused: bool) -> Path | None:
    from converters.cache import default_folder

    return None if unused else default_folder()


def _objective(name: str | None) -> Objective | None:
    from converters.choice import Objective

    return Objective(name) if name else None


def _variants(target: str, profiles: tuple[Profile, ...]) -> tuple[str, ...]:
    """Return the variants that are asked for: by name, else by kind of device."""
    from converters.profiles import targets_of

    named = tuple(name.strip() for name in target.split(",") if name.strip())
    return named or targets_of(profiles) or tuple(_TARGETS.split(","))


def preflight(
    source: Annotated[str, typer.Argument(help="package.module:function, .onnx or .pt2")],
    *,
    profile: Annotated[list[str], typer.Option(help="Kind of device, or a YAML file; repeatable")],
    weights: Annotated[Path | None, typer.Option(help="state_dict for the module")] = None,
    input_: Annotated[
        list[str] | None, typer.Option("--input", help="name=1x3x224x224:float32, one for each")
    ] = None,
    preprocessing: Declared = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON")] = False,
) -> None:
    """Say before any conversion what of a model will not run where; exit 1 if anything."""
    from converters import declared as d
    from converters import plan as p
    from converters import show

    asked = p.ConversionPlan(
        source=source,
        model="preflight",
        version="0",
        variants=("none",),
        evaluation=Path(),
        out=Path(),
        weights=weights,
        inputs=tuple(p.parse_input(text) for text in input_ or ()),
        preprocessing=d.read_preprocessing(preprocessing) if preprocessing else None,
    )
    found = show.preflight_quietly(asked, profile)
    typer.echo(codec.encode(found)) if as_json else show.print_findings(found, profile)
    raise typer.Exit(1 if found else 0)


def package(
    model_file: Annotated[Path, typer.Argument(help="A .onnx, .tflite or OpenVINO .xml file")],
    *,
    evaluation: Annotated[Path, typer.Option(help="Held-out .npz (images, labels), folder, video")],
    out: Annotated[Path, typer.Option(help="Folder for the bundle and report.json")],
    model: Annotated[str, typer.Option(help="Name of the model")],
    version: Annotated[str, typer.Option(help="Version of the release")],
    variant: Annotated[str, typer.Option(help="Name; else format and precision")] = "auto",
    reference: Annotated[
        str, typer.Option(help="Source that it must agree with: factory, .onnx or .pt2")
    ] = "",
    weights: Annotated[Path | None, typer.Option(help="state_dict for the reference")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="input=output: state fed back between inferences")
    ] = None,
    metric: Annotated[str, typer.Option(help="As for convert")] = "top1",
    preprocessing: Declared = "",
    postprocessing: Declared = "",
    labels: Annotated[str, typer.Option(help="Class names by commas, or a file of lines")] = "",
    parameters: Parameters = "",
    golden: Annotated[int, typer.Option(help="Golden samples in the bundle", min=1)] = 16,
    threads: Annotated[int, typer.Option(help="Threads while proving and measuring", min=1)] = 1,
    no_cache: KeepNothing = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON")] = False,
) -> None:
    """Prove and bundle a ready-made or vendor-compiled model file without converting it."""
    from converters import declared as d
    from converters import plan as p
    from converters import show
    from converters.cache import default_folder

    given = p.ConversionPlan(
        source=str(model_file),
        model=model,
        version=version,
        variants=(variant,),
        evaluation=evaluation,
        out=out,
        weights=weights,
        state=tuple(p.parse_state(text) for text in state or ()),
        metric=metric,
        preprocessing=d.read_preprocessing(preprocessing) if preprocessing else None,
        postprocessing=d.read_postprocessing(postprocessing) if postprocessing else None,
        labels=d.read_labels(labels) if labels else (),
        parameters_schema=d.read_parameters(parameters) if parameters else None,
        golden_count=golden,
        threads=threads,
        cache=None if no_cache else default_folder(),
    )
    report = show.package_with_progress(given, reference)
    typer.echo(codec.encode(report)) if as_json else show.print_report(report, out)


def diff(
    first: Annotated[Path, typer.Argument(help="A .bundle file")],
    second: Annotated[Path, typer.Argument(help="Another")],
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 1 if anything differs")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON")] = False,
) -> None:
    """Show what differs between two bundles, answers to golden samples included."""
    from converters import show
    from converters.difference import differences

    changes = differences(first, second)
    typer.echo(codec.encode(changes)) if as_json else show.print_changes(changes)
    raise typer.Exit(1 if changes and exit_code else 0)


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
