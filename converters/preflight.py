"""Says before any conversion what of a model will not run on a kind of device, and where it stands.

Nothing is converted: a module is exported by torch and its operators are looked up in what each
target can lower; an ONNX file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from converters.capture import check_operators, known_inputs, model_line, trace
from converters.extras import need
from converters.plan import ConversionPlan, input_of
from converters.profiles import Profile
from converters.quiet import quiet_python
from converters.source import ModuleSource, OnnxSource, Source, load_source
from converters.targets.registry import GROUP, find_variants
from edgekit.errors import TargetError
from edgekit.manifest import TensorSpec

_TYPES = {"complex64", "complex128", "float64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that will not run.

    Attributes:
        profile: Where.
        target: For which target; empty for all.
        what: What it is.
        where: "file:line" in the user's source, or the file; empty when unknown.
    """

    profile: str
    target: str
    what: str
    where: str


def preflight(plan: ConversionPlan, profiles: Sequence[Profile]) -> list[Finding]:
    """Return everything that stands in the way, in the order of the model.

    Args:
        plan: Its source, weights, inputs and preprocessing; nothing else is read.
        profiles: Kinds of devices.

    Raises:
        SourceError: The source cannot be loaded or captured at all.
    """
    source = load_source(plan.source, plan.weights)
    match source:
        case OnnxSource():
            found = [f for profile in profiles for f in _onnx(source, profile)]
        case ModuleSource():
            inputs = _inputs(source, plan)
            program = source.program or trace(source, inputs)
            found = [f for p in profiles for f in _module(source, program, inputs, p)]
    return list(dict.fromkeys(found))


def _inputs(source: Source, plan: ConversionPlan) -> tuple[TensorSpec, ...]:
    derived = (input_of(plan.preprocessing),) if plan.preprocessing else ()
    return known_inputs(source, plan.inputs or derived)


def _module(
    source: ModuleSource,
    program: Any,  # noqa: ANN401 (torch)
    inputs: tuple[TensorSpec, ...],
    profile: Profile,
) -> Iterator[Finding]:
    for name in sorted({variant.target.name for variant in find_variants(profile.targets)}):
        target = next(iter(entry_points(group=GROUP, name=name))).load()
        lowers = getattr(target, "lowers", None)
        if lowers is None:
            continue
        for node in _calls(_decomposed(program, lowers)):
            if not lowers(node.target):
                yield Finding(
                    profile=profile.name,
                    target=name,
                    what=f"operator {node.target}",
                    where=_line(node, source),
                )
    yield from _listed(source, program, profile)
    yield from _typed(source, program, inputs, profile)


def _decomposed(program: Any, lowers: Callable[[Any], bool]) -> Any:  # noqa: ANN401 (torch)
    """Return the program with only those operators taken apart that a target does not know."""
    table = need("torch").export.default_decompositions()
    for operator in [known for known in table if lowers(known)]:
        table.pop(operator)
    with quiet_python():
        return program.run_decompositions(table)


def _listed(source: ModuleSource, program: Any, profile: Profile) -> Iterator[Finding]:  # noqa: ANN401 (torch)
    """Look operators up in the list of a device that has one."""
    for node in _calls(program) if profile.operators else ():
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        if name.removesuffix("_") not in profile.operators and name not in profile.operators:
            yield Finding(
                profile=profile.name,
                target="",
                what=f"operator {node.target}",
                where=_line(node, source),
            )


def _typed(
    source: ModuleSource,
    program: Any,  # noqa: ANN401 (torch)
    inputs: tuple[TensorSpec, ...],
    profile: Profile,
) -> Iterator[Finding]:
    for spec in inputs:
        if spec.dtype in _TYPES:
            yield Finding(
                profile=profile.name, target="", what=f"input {spec.name} of {spec.dtype}", where=""
            )
        if profile.preflight_only and any(isinstance(size, str) for size in spec.shape):
            yield Finding(
                profile=profile.name, target="", what=f"input {spec.name} varies in size", where=""
            )
    for node in _calls(program):
        value = node.meta.get("val")
        kind = str(getattr(value, "dtype", "")).removeprefix("torch.")
        if kind in _TYPES:
            yield Finding(
                profile=profile.name,
                target="",
                what=f"operator {node.target} in {kind}",
                where=_line(node, source),
            )


def _onnx(source: OnnxSource, profile: Profile) -> Iterator[Finding]:
    try:
        check_operators(source.path)
    except TargetError as error:
        yield Finding(profile=profile.name, target="", what=error.what, where=str(source.path))
    model = need("onnx").load(source.path, load_external_data=False)
    opset = max(
        (int(o.version) for o in model.opset_import if o.domain in {"", "ai.onnx"}), default=1
    )
    for what, have, most in (
        ("opset", opset, profile.max_opset),
        ("file version", int(model.ir_version), profile.max_ir),
    ):
        if have > most:
            yield Finding(
                profile=profile.name,
                target="onnx",
                what=f"{what} {have}, its runtime reads {most}",
                where=str(source.path),
            )
    if not any(name.startswith("onnx") for name in profile.targets):
        yield Finding(
            profile=profile.name,
            target="",
            what=f"an ONNX file, where {', '.join(profile.targets)} runs",
            where=str(source.path),
        )


def _calls(program: Any) -> list[Any]:  # noqa: ANN401 (torch)
    """Return the calls of ATen operators that compute something."""
    return [
        node
        for node in program.graph.nodes
        if node.op == "call_function"
        and str(node.target).startswith("aten.")
        and not str(node.target).startswith(("aten._assert", "aten.sym_"))
    ]


def _line(node: Any, source: ModuleSource) -> str:  # noqa: ANN401 (torch)
    return model_line(node.meta.get("stack_trace") or "") or source.name
