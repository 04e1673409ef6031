import pytest

from converters.profiles import read_profile, targets_of
from converters.quantize import Arithmetic, arithmetic_for
from edgekit.errors import UsageError


@pytest.mark.parametrize(
    ("profiles", "arithmetic"),
    [
        ((), Arithmetic.PORTABLE),
        (("x86-64-vnni",), Arithmetic.U8S8),
        (("x86-64-avx2",), Arithmetic.PORTABLE),
        (("raspberry-pi-4", "raspberry-pi-5"), Arithmetic.S8S8),
        (("x86-64-vnni", "x86-64-avx2"), Arithmetic.PORTABLE),
        (("x86-64-vnni", "raspberry-pi-5"), Arithmetic.PORTABLE),
    ],
)
def test_the_weakest_processor_among_the_profiles_decides(
    profiles: tuple[str, ...], arithmetic: Arithmetic
):
    assert arithmetic_for([read_profile(p).instruction_sets for p in profiles]) is arithmetic


def test_profiles_choose_the_variants_each_once():
    chosen = targets_of([read_profile("raspberry-pi-5"), read_profile("x86-64-vnni")])
    assert chosen == ("tflite-int8", "onnx-int8", "tflite-fp32", "openvino-int8", "onnx-fp32")


def test_a_profile_for_preflight_only_chooses_nothing():
    with pytest.raises(UsageError, match="coral-edgetpu is for edgekit preflight only"):
        targets_of([read_profile("coral-edgetpu")])
