import pytest

from converters.targets import find_variants
from edgekit.errors import UsageError
from edgekit.manifest import ModelFormat


def test_variants_are_found_by_name_and_in_order():
    found = find_variants(("tflite-int8", "onnx-fp32"))
    assert [v.name for v in found] == ["tflite-int8", "onnx-fp32"]
    assert [v.target.format for v in found] == [ModelFormat.TFLITE, ModelFormat.ONNX]
    assert [v.recipe.calibrated for v in found] == [True, False]


def test_int8_is_preferred_to_fp32():
    fp32, int8 = find_variants(("onnx-fp32", "onnx-int8"))
    assert int8.recipe.preference > fp32.recipe.preference


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("coreml-fp32", "targets here: onnx, openvino, tflite"),
        ("onnx-int4", "onnx-fp32, onnx-fp16, onnx-int8"),
    ],
)
def test_an_unknown_variant_is_refused_with_what_there_is(name: str, reason: str):
    with pytest.raises(UsageError, match=reason):
        find_variants((name,))
