"""Turns a failed lowering into one line: which operator, and where the model calls it."""

from __future__ import annotations

import re

from converters.capture import Captured, model_line
from converters.quiet import quiet_python
from edgekit.errors import TargetError

_OPERATOR = (
    re.compile(r"OpOverload\(op='([\w.]+)'"),
    re.compile(r"Lowering not found: ([\w.]+)"),
    re.compile(r"call_function\[target=torch\.ops\.([\w.]+)\]"),
)


def refusal(target: str, captured: Captured, error: BaseException) -> TargetError:
    """Return the error for a model that a target cannot express."""
    text = _chain(error)
    operator = _operator(text)
    if not operator:
        reason = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        return TargetError(f"{target} cannot express it ({reason})", where=captured.source.name)
    return TargetError(
        f"{target} cannot express the operator {operator}",
        where=model_line(text) or _line_in_program(captured, operator) or captured.source.name,
        todo="rewrite that line, or leave the target out",
    )


def _chain(error: BaseException | None) -> str:
    texts = []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__
    return "\n".join(texts)


def _operator(text: str) -> str:
    found = next((m for pattern in _OPERATOR if (m := pattern.search(text))), None)
    return found.group(1).removesuffix(".default") if found else ""


def _line_in_program(captured: Captured, operator: str) -> str:
    """Look for the operator among what torch exported, before and after decomposition."""
    if captured.program is None:
        return ""
    with quiet_python():
        decomposed = captured.program.run_decompositions()
    for program in (captured.program, decomposed):
        for node in program.graph.nodes:
            if str(node.target).startswith(operator):
                return model_line(node.meta.get("stack_trace") or "")
    return ""
