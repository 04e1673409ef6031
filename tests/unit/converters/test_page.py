from converters.page import Flip, html_page
from converters.report import Attempt, ConversionReport, SourceReport, VariantReport
from edgekit.verdict import Verdict

VARIANT = VariantReport(
    variant="onnx-int8",
    bundle="b",
    sha256="0",
    bundle_bytes=1,
    model_bytes=2048,
    accuracy=0.97,
    max_abs_diff=0.1,
    sqnr_db=30.0,
    agreement=0.99,
    runtime="onnxruntime",
    median_ms=1.5,
    median_low_ms=1.4,
    median_high_ms=1.6,
    p90_ms=None,
    runs=10,
    seconds=1.0,
    attempts=(Attempt(rung="min-max", verdict=Verdict.PASS, drop=0.2, low=-0.1, high=0.5),),
)
REPORT = ConversionReport(
    model="<digits>",
    version="1",
    source=SourceReport(name="net:f", accuracy=0.98, samples=100),
    variants=(VARIANT,),
    seconds=1.0,
    rejected=("tflite-int8",),
)
FLIP = Flip(index=7, source="3", variant="8", truth="3", png=b"\x89PNG")


def test_the_page_tells_every_variant_its_loss_and_what_flipped():
    page = html_page(REPORT, {"onnx-int8": [FLIP]})
    for text in ("onnx-int8", "1.500 ms", "0.20 pass", "#7: 3 &rarr; 8", "Left out: tflite-int8"):
        assert text in page


def test_the_page_fetches_nothing_runs_nothing_and_escapes_names():
    page = html_page(REPORT, {"onnx-int8": [FLIP]})
    assert "<script" not in page
    assert "http" not in page
    assert "src='data:image/png;base64," in page
    assert "&lt;digits&gt;" in page
    assert "color-scheme: light dark" in page


def test_a_conversion_without_accuracy_has_a_page():
    assert "<svg" in html_page(REPORT, {})
