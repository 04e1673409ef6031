"""All inputs of one conversion, as data, and how a person writes them down.

Nothing here loads a model or looks at samples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.choice import Objective
from converters.profiles import Profile
from edgekit.errors import UsageError
from edgekit.manifest import Layout, Postprocessing, Preprocessing, TensorSpec

# A named size has no x in it: that separates sizes.
_SIZE = r"(?:\d+|[A-Za-wyz_][A-Za-wyz0-9_]*)"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionPlan:
    """One conversion: what, to what, proven on what, and where to.

    Attributes:
        source: Python factory "package.module:function", or the path of an ONNX file.
        model: Name of the model that the bundles carry.
        version: Version of the release that the bundles carry.
        variants: Names such as "onnx-int8": target, hyphen, recipe.
        evaluation: Labelled samples (.npz: images, labels) that the proof is made on.
        out: Folder for the bundles and report.json.
        calibration: Samples that ranges are taken from, as `streams.open_stream` takes them; int8
            needs them.
        weights: state_dict for the module that the factory returns.
        inputs: The model's inputs; empty derives them from the preprocessing or the source.
        dynamic: Smallest and largest size of each named dimension of the inputs.
        state: Pairs of an input that holds state and the output that it is next time.
        metric: Measure of accuracy, see `metrics`.
        preprocessing: From a raw sample to the input; None when samples are tensors.
        postprocessing: From the outputs to an answer; None classifies where the shape allows it.
        labels: Class names by index.
        parameters_schema: JSON schema of what may be set on each device; None for nothing.
        max_accuracy_drop: Largest loss of accuracy, percentage points (or the metric's unit); None
            tells the loss and does not judge it.
        allow_slower: Keep a quantized variant that is slower here than its float.
        profiles: Kinds of devices that the files are for; they choose the 8-bit arithmetic.
        objective: What decides which variant devices prefer; None leaves it to the recipes.
        golden_count: Golden samples in each bundle, >= 1.
        threads: Threads of the runtimes while measuring and proving, >= 1.
        cache: Folder of what earlier runs finished; None keeps nothing between runs.
    """

    source: str
    model: str
    version: str
    variants: tuple[str, ...]
    evaluation: Path
    out: Path
    calibration: str | Path | None = None
    weights: Path | None = None
    inputs: tuple[TensorSpec, ...] = ()
    dynamic: dict[str, tuple[int, int]] = field(default_factory=dict)
    state: tuple[tuple[str, str], ...] = ()
    metric: str = "top1"
    preprocessing: Preprocessing | None = None
    postprocessing: Postprocessing | None = None
    labels: tuple[str, ...] = ()
    parameters_schema: dict[str, Any] | None = None
    max_accuracy_drop: float | None = None
    allow_slower: bool = False
    profiles: tuple[Profile, ...] = ()
    objective: Objective | None = None
    golden_count: int = 16
    threads: int = 1
    cache: Path | None = None

    def __post_init__(self) -> None:
        for what, value in (("model", self.model), ("version", self.version)):
            if not _NAME.fullmatch(value):
                raise UsageError(
                    f"{value!r} is no {what} name",
                    todo="use letters, digits, dots, hyphens and underscores",
                )
        if not self.variants or len(set(self.variants)) != len(self.variants):
            raise UsageError("no variant is asked for, or one twice", todo="name them in --target")
        if self.max_accuracy_drop is not None and not 0 <= self.max_accuracy_drop <= 100:
            raise UsageError("a loss that is allowed is 0 to 100", where="--max-accuracy-drop")
        named = {s for spec in self.inputs for s in spec.shape if isinstance(s, str)}
        if named != set(self.dynamic):
            raise UsageError(
                f"sizes without a range, or ranges without a size: "
                f"{', '.join(sorted(named ^ set(self.dynamic)))}",
                todo="name a size in --input and give its range with --dynamic batch=1..8",
            )
        if self.golden_count < 1 or self.threads < 1:
            raise UsageError("the number of golden samples and of threads is at least 1")


def parse_input(text: str) -> TensorSpec:
    """Read "name=1x3x224x224:float32"; the element type may be left out, a size may be a name.

    Raises:
        UsageError: Not of that form, an empty axis, or an unknown element type.
    """
    match = re.fullmatch(rf"([\w.:/]+?)=((?:{_SIZE}(?:x{_SIZE})*)?)(?::(\w+))?", text)
    if match is None:
        raise UsageError(
            f"{text!r} is no input", todo="write name=1x3x224x224:float32, as in --input x=1x1x8x8"
        )
    name, sizes, dtype = match.groups()
    if not sizes and not dtype:
        raise UsageError(f"{text!r} has neither sizes nor an element type")
    parts = [part for part in sizes.split("x") if part]
    shape = tuple(int(part) if part.isdigit() else part for part in parts)
    if 0 in shape:
        raise UsageError(f"{text!r} has an empty axis")
    return TensorSpec(name=name, shape=shape, dtype=_dtype(dtype or "float32"))


def parse_dynamic(text: str) -> tuple[str, tuple[int, int]]:
    """Read "batch=1..8": a named size, its smallest and its largest value.

    Raises:
        UsageError: Not of that form, or an empty range.
    """
    match = re.fullmatch(rf"({_SIZE})=(\d+)\.\.(\d+)", text)
    if match is None or not 1 <= int(match[2]) < int(match[3]) or match[1].isdigit():
        raise UsageError(f"{text!r} is no range of sizes", todo="write batch=1..8")
    return match[1], (int(match[2]), int(match[3]))


def parse_state(text: str) -> tuple[str, str]:
    """Read "input=output": state that comes out of one inference and goes into the next.

    Raises:
        UsageError: Not of that form.
    """
    given, _, taken = text.partition("=")
    if not given or not taken:
        raise UsageError(f"{text!r} names no state", todo="write input=output")
    return given, taken


def input_of(preprocessing: Preprocessing) -> TensorSpec:
    """Return the model input that a preprocessing produces, named "input"."""
    height, width, channels = preprocessing.height, preprocessing.width, preprocessing.channels
    nchw = preprocessing.layout is Layout.NCHW
    shape = (1, channels, height, width) if nchw else (1, height, width, channels)
    return TensorSpec(name="input", shape=shape, dtype="float32")


def _dtype(name: str) -> str:
    try:
        return np.dtype(name).name
    except TypeError as error:
        raise UsageError(f"{name!r} is no element type", todo="use float32 or int64") from error
