"""What may be set differently on each device, such as a threshold. Pure.

A manifest describes the parameters by a JSON schema. A subset of the language is enough and is
checked the same at conversion, on the server and on the device; a schema that uses more is
refused where it is written, never half obeyed where it is applied.

Source of the words: JSON Schema, draft 2020-12, validation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from edgekit import codec
from edgekit.errors import UsageError

Schema: TypeAlias = Mapping[str, Any]

MAX_DEPTH = 8
_NOTES = frozenset({"$schema", "$id", "title", "description", "examples", "default"})
_WORDS: dict[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "string": frozenset({"minLength", "maxLength"}),
    "boolean": frozenset(),
}


def check_schema(schema: object, *, where: str) -> None:
    """Refuse a schema that is wrong, or that says more than is checked here.

    The outermost type is "object". Each default must itself be valid.

    Raises:
        UsageError: The message names the place in the schema.
    """
    _check_schema(schema, "", where, 0)
    if isinstance(schema, Mapping) and schema["type"] != "object":
        raise UsageError('the outermost type is "object"', where=where)


def check_parameters(schema: Schema, values: object, *, where: str) -> None:
    """Refuse values that do not match a checked schema.

    Raises:
        UsageError: The message names the parameter and what is allowed.
    """
    _check_value(schema, values, "", where)


def with_defaults(schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values, with the schema's defaults for outermost parameters that are not set."""
    defaults = {
        name: inner["default"]
        for name, inner in schema.get("properties", {}).items()
        if "default" in inner
    }
    return {**defaults, **values}


def _check_schema(schema: object, path: str, where: str, depth: int) -> None:
    here = f"schema of {path or 'the parameters'}"
    if not isinstance(schema, Mapping) or schema.get("type") not in _WORDS:
        raise UsageError(
            f"the {here} needs a type", where=where, todo=f"use {', '.join(sorted(_WORDS))}"
        )
    if depth > MAX_DEPTH:
        raise UsageError(f"the {here} is nested more than {MAX_DEPTH} deep", where=where)
    kind = schema["type"]
    unknown = sorted(set(schema) - _NOTES - {"type", "enum"} - _WORDS[kind])
    if unknown:
        raise UsageError(
            f"the {here} says {', '.join(unknown)}, which is not checked for {kind}",
            where=where,
            todo=f"use {', '.join(sorted(_WORDS[kind] | {'enum', 'default', 'description'}))}",
        )
    _check_words(schema, here, where)
    for name, inner in schema.get("properties", {}).items():
        _check_schema(inner, f"{path}.{name}" if path else name, where, depth + 1)
    if "items" in schema:
        _check_schema(schema["items"], f"{path}[]", where, depth + 1)
    if "default" in schema:
        _check_value(schema, schema["default"], f"{path or 'parameters'} (default)", where)


def _check_words(schema: Schema, here: str, where: str) -> None:
    """Refuse words whose own values are of the wrong kind."""
    counts = {"minItems", "maxItems", "minLength", "maxLength"}
    limits = _WORDS["number"]
    for word, value in schema.items():
        bad = (
            (word in counts and not (_is_integer(value) and value >= 0))
            or (word in limits and not _is_number(value))
            or (word == "enum" and not (isinstance(value, list) and value))
            or (word == "properties" and not isinstance(value, Mapping))
            or (word == "required" and not _is_names(value, schema))
            or (word == "additionalProperties" and not isinstance(value, bool))
        )
        if bad:
            raise UsageError(f"the {here} has no usable {word}", where=where)


def _is_names(value: object, schema: Schema) -> bool:
    known = schema.get("properties", {})
    return isinstance(value, list) and all(isinstance(n, str) and n in known for n in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: object) -> bool:
    return _is_number(value) and float(value) == int(value)  # type: ignore[arg-type, call-overload]


_KINDS: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list | tuple),
    "number": _is_number,
    "integer": _is_integer,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
}


def _check_value(schema: Schema, value: Any, path: str, where: str) -> None:  # noqa: ANN401 (JSON)
    what = path or "parameters"
    if not _KINDS[schema["type"]](value):
        raise UsageError(f"{what} is no {schema['type']}", where=where)
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        raise UsageError(f"{what} is none of {codec.encode(schema['enum']).decode()}", where=where)
    match schema["type"]:
        case "object":
            _check_object(schema, value, path, where)
        case "array":
            _check_size(schema, len(value), ("minItems", "maxItems"), f"{what} has", where)
            for index, one in enumerate(value if "items" in schema else ()):
                _check_value(schema["items"], one, f"{what}[{index}]", where)
        case "string":
            _check_size(schema, len(value), ("minLength", "maxLength"), f"{what} has length", where)
        case "number" | "integer":
            _check_limits(schema, value, what, where)
        case _:
            pass


def _same(a: object, b: object) -> bool:
    """Compare as JSON does: true is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _check_object(schema: Schema, value: Mapping[str, Any], path: str, where: str) -> None:
    known = schema.get("properties", {})
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        raise UsageError(f"{path or 'parameters'} lacks {', '.join(missing)}", where=where)
    unknown = sorted(str(name) for name in value if name not in known)
    if unknown and not schema.get("additionalProperties", True):
        raise UsageError(
            f"there is no parameter {', '.join(unknown)}",
            where=where,
            todo=f"known are {', '.join(sorted(known)) or 'none'}",
        )
    for name, inner in known.items():
        if name in value:
            _check_value(inner, value[name], f"{path}.{name}" if path else name, where)


def _check_size(schema: Schema, size: int, words: tuple[str, str], what: str, where: str) -> None:
    low, high = schema.get(words[0], 0), schema.get(words[1], math.inf)
    if not low <= size <= high:
        raise UsageError(f"{what} {size}, allowed are {low:g} to {high:g}", where=where)


def _check_limits(schema: Schema, value: float, what: str, where: str) -> None:
    rules = (
        ("minimum", value >= schema.get("minimum", -math.inf), "at least"),
        ("maximum", value <= schema.get("maximum", math.inf), "at most"),
        ("exclusiveMinimum", value > schema.get("exclusiveMinimum", -math.inf), "more than"),
        ("exclusiveMaximum", value < schema.get("exclusiveMaximum", math.inf), "less than"),
    )
    for word, holds, how in rules:
        if not holds:
            raise UsageError(f"{what} is {value:g}, allowed is {how} {schema[word]:g}", where=where)
