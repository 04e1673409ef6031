from pathlib import Path

import pytest

from converters.plan import (
    ConversionPlan,
    input_of,
    parse_dynamic,
    parse_input,
    parse_state,
)
from edgekit.errors import UsageError
from edgekit.manifest import Layout, Preprocessing, TensorSpec


def plan(**changes: object) -> ConversionPlan:
    given: dict[str, object] = {
        "source": "package.module:function",
        "model": "digits",
        "version": "1.0.0",
        "variants": ("onnx-fp32",),
        "evaluation": Path("held-out.npz"),
        "out": Path("out"),
    }
    return ConversionPlan(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "../digits"},
        {"model": ""},
        {"version": "1/0"},
        {"variants": ()},
        {"variants": ("onnx-fp32", "onnx-fp32")},
        {"golden_count": 0},
        {"threads": 0},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, object]):
    with pytest.raises(UsageError):
        plan(**changes)


def test_an_input_is_name_sizes_and_element_type():
    assert parse_input("x=1x3x224x224:uint8") == TensorSpec(
        name="x", shape=(1, 3, 224, 224), dtype="uint8"
    )


def test_the_element_type_of_an_input_is_float32_unless_said():
    assert parse_input("x=1x10").dtype == "float32"


def test_a_size_of_an_input_may_be_a_name_and_a_scalar_has_none():
    assert parse_input("image=batchx3x8x8").shape == ("batch", 3, 8, 8)
    assert parse_input("sr=:int64") == TensorSpec(name="sr", shape=(), dtype="int64")


def test_the_range_of_a_named_size_is_read():
    assert parse_dynamic("batch=1..8") == ("batch", (1, 8))


@pytest.mark.parametrize("text", ["batch", "batch=3", "batch=8..1", "batch=0..4", "7=1..8"])
def test_what_is_no_range_of_sizes_is_refused(text: str):
    with pytest.raises(UsageError):
        parse_dynamic(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": (parse_input("x=batchx8"),)},
        {"inputs": (parse_input("x=1x8"),), "dynamic": {"batch": (1, 8)}},
    ],
)
def test_named_sizes_and_ranges_belong_together(changes: dict[str, object]):
    with pytest.raises(UsageError, match="batch"):
        plan(**changes)


def test_a_state_is_an_input_and_an_output():
    assert parse_state("h=h_next") == ("h", "h_next")
    with pytest.raises(UsageError):
        parse_state("h")


@pytest.mark.parametrize("text", ["", "x", "x=", "x=1x", "=1x2", "x=1x0", "x=1x8:float7"])
def test_what_is_no_input_is_refused(text: str):
    with pytest.raises(UsageError):
        parse_input(text)


@pytest.mark.parametrize(
    ("layout", "shape"), [(Layout.NCHW, (1, 3, 4, 5)), (Layout.NHWC, (1, 4, 5, 3))]
)
def test_the_input_follows_from_the_preprocessing(layout: Layout, shape: tuple[int, ...]):
    spec = Preprocessing(height=4, width=5, channels=3, layout=layout)
    assert input_of(spec) == TensorSpec(name="input", shape=shape, dtype="float32")
