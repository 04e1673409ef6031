import pytest

from edgekit.errors import UsageError
from edgekit.parameters import check_parameters, check_schema, with_defaults

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["threshold"],
    "properties": {
        "threshold": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
        "region": {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1.5},
            "minItems": 4,
            "maxItems": 4,
        },
        "mode": {"type": "string", "enum": ["day", "night"]},
        "name": {"type": "string", "maxLength": 3},
        "every": {"type": "integer", "exclusiveMinimum": 0},
        "mirror": {"type": "boolean"},
        "lens": {"type": "object", "properties": {"focus": {"type": "number"}}},
    },
}


def test_the_schema_is_accepted():
    check_schema(SCHEMA, where="s")


@pytest.mark.parametrize(
    "values",
    [
        {"threshold": 0},
        {"threshold": 1.0, "region": [0, 0, 1, 1.4]},
        {"threshold": 0.5, "mode": "night", "name": "abc", "every": 2.0, "mirror": False},
        {"threshold": 0.5, "lens": {"focus": 3, "colour": "red"}},
    ],
)
def test_values_that_match_are_accepted(values):
    check_parameters(SCHEMA, values, where="p")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([], "parameters is no object"),
        ({}, "lacks threshold"),
        ({"threshold": 1.1}, "threshold is 1.1, allowed is at most 1"),
        ({"threshold": True}, "threshold is no number"),
        ({"threshold": float("nan")}, "threshold is no number"),
        ({"threshold": 0, "region": [0, 0, 1]}, "region has 3"),
        ({"threshold": 0, "region": [0, 0, 1, 2]}, r"region\[3\] is 2"),
        ({"threshold": 0, "mode": "dusk"}, "mode is none of"),
        ({"threshold": 0, "name": "abcd"}, "name has length 4"),
        ({"threshold": 0, "every": 0}, "every is 0"),
        ({"threshold": 0, "every": 1.5}, "every is no integer"),
        ({"threshold": 0, "mirror": 1}, "mirror is no boolean"),
        ({"threshold": 0, "lens": {"focus": "near"}}, "lens.focus is no number"),
        ({"threshold": 0, "treshold": 1}, "no parameter treshold"),
    ],
)
def test_values_that_do_not_match_are_refused_by_name(values, names):
    with pytest.raises(UsageError, match=names):
        check_parameters(SCHEMA, values, where="p")


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        (5, "needs a type"),
        ({}, "needs a type"),
        ({"type": "number"}, "outermost"),
        ({"type": "object", "oneOf": []}, "oneOf, which is not checked"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}, "of a says"),
        ({"type": "object", "required": ["a"]}, "no usable required"),
        ({"type": "object", "properties": {"a": {"type": "number", "minimum": "1"}}}, "minimum"),
        ({"type": "object", "properties": {"a": {"type": "string", "minLength": -1}}}, "minLength"),
        ({"type": "object", "properties": {"a": {"type": "boolean", "enum": []}}}, "enum"),
        ({"type": "object", "properties": {"a": {"type": "boolean", "default": 3}}}, "default"),
        ({"type": "object", "properties": []}, "properties"),
        ({"type": "object", "additionalProperties": {}}, "additionalProperties"),
    ],
)
def test_a_schema_that_is_wrong_or_says_too_much_is_refused(schema, names):
    with pytest.raises(UsageError, match=names):
        check_schema(schema, where="s")


def test_a_schema_without_end_is_refused():
    deep: dict[str, object] = {"type": "object"}
    for _ in range(12):
        deep = {"type": "object", "properties": {"a": deep}}
    with pytest.raises(UsageError, match="nested"):
        check_schema(deep, where="s")


def test_an_enumeration_does_not_take_true_for_one():
    schema = {"type": "object", "properties": {"a": {"type": "boolean", "enum": [1]}}}
    with pytest.raises(UsageError, match="none of"):
        check_parameters(schema, {"a": True}, where="p")


def test_defaults_stand_in_for_what_is_not_set():
    assert with_defaults(SCHEMA, {"mode": "day"}) == {"threshold": 0.5, "mode": "day"}
    assert with_defaults(SCHEMA, {"threshold": 1}) == {"threshold": 1}
