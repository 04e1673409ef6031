from converters.report import VariantReport, slower_notes


def variant(name: str, low: float, high: float, runtime: str = "onnxruntime") -> VariantReport:
    return VariantReport(
        variant=name,
        bundle="b",
        sha256="0",
        bundle_bytes=1,
        model_bytes=1,
        accuracy=1.0,
        max_abs_diff=0.0,
        sqnr_db=200.0,
        agreement=1.0,
        runtime=runtime,
        median_ms=(low + high) / 2,
        median_low_ms=low,
        median_high_ms=high,
        p90_ms=None,
        runs=10,
        seconds=1.0,
    )


def test_a_quantized_variant_slower_than_its_float_is_noted():
    notes = slower_notes([variant("onnx-fp32", 1.0, 1.1), variant("onnx-int8", 1.2, 1.4)])
    assert notes == ("onnx-int8 is slower here than onnx-fp32 (1.300 ms against 1.050 ms)",)


def test_intervals_that_overlap_say_nothing():
    assert slower_notes([variant("onnx-fp32", 1.0, 1.2), variant("onnx-int8", 1.1, 1.4)]) == ()


def test_variants_of_other_runtimes_are_not_compared():
    assert slower_notes([variant("onnx-fp32", 1, 1), variant("tflite-int8", 2, 2, "litert")]) == ()
