from converters.report import slower_than_float
from edgekit.bench import Summary, summarize


def around(milliseconds: float) -> Summary:
    return summarize([milliseconds + 0.01 * (i % 7) for i in range(100)], unit="ms")


FLOATS = {"onnx-int8": "onnx-fp32", "tflite-int8": "tflite-fp32"}


def test_a_quantized_variant_that_is_slower_than_its_float_is_told():
    measured = {
        "onnx-fp32": around(2.0),
        "onnx-int8": around(3.0),
        "tflite-fp32": around(2.0),
        "tflite-int8": around(1.0),
    }
    slower = slower_than_float(measured, FLOATS)
    assert list(slower) == ["onnx-int8"]
    assert "onnx-int8 is slower here than onnx-fp32 (3.030 ms against 2.030 ms)" in slower.values()


def test_intervals_that_overlap_tell_nothing():
    measured = {"onnx-fp32": around(2.0), "onnx-int8": around(2.0)}
    assert slower_than_float(measured, {"onnx-int8": "onnx-fp32"}) == {}
