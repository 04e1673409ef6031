import re
from dataclasses import replace

from converters.collection import Facts
from converters.layers import Layer
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


def test_the_page_shows_latencies_layers_and_calibration():
    layers = (
        Layer(name="conv1", operator="Conv", sqnr_db=40.0, low=-1.0, high=2.0),
        Layer(name="conv<2>", operator="Conv", sqnr_db=22.0, low=0.0, high=6.0),
    )
    runs = (*(1.0 + 0.01 * (i % 9) for i in range(199)), 50.0)
    variant = replace(VARIANT, latency_ms=runs, layers=layers)
    facts = Facts(
        where="photos", data="", samples=300, shape=(8, 8), dtype="uint8", low=(0.0,), high=(16.0,)
    )
    page = html_page(replace(REPORT, variants=(variant,), calibration=facts), {})
    for text in ("1 of 200 beyond", "conv&lt;2&gt;", "22.0 dB, 0 to 6", "300 of [8, 8] uint8"):
        assert text in page
    assert page.count("fill='var(--bad)'") == 1


def test_every_rung_is_on_the_page_with_its_whole_name_and_what_may_be_lost():
    rungs = (
        Attempt(rung="min-max", verdict=Verdict.INCONCLUSIVE, drop=0.4, low=-0.1, high=0.9),
        Attempt(rung="entropy", verdict=Verdict.FAIL, reason="SQNR 3.8 dB, at least 15"),
        Attempt(
            rung="the most sensitive 30% of the layers in float",
            verdict=Verdict.PASS,
            drop=0.0,
            low=-0.2,
            high=0.2,
        ),
    )
    variant = replace(VARIANT, attempts=rungs)
    page = html_page(replace(REPORT, variants=(variant,), max_accuracy_drop=0.5), {})
    for text in ("0.40 inconclusive", "entropy", "SQNR 3.8 dB, at least 15", "0.00 pass"):
        assert text in page
    assert ">the most sensitive 30% of the layers in float<" in page
    assert "what may be lost, 0.5" in page
    assert page.count("stroke-dasharray") == 1
    assert "stroke-dasharray" not in html_page(replace(REPORT, variants=(variant,)), {})


def test_a_conversion_without_accuracy_has_a_page():
    assert "<svg" in html_page(REPORT, {})


def test_the_name_of_a_layer_ends_before_its_bar_however_long_it_is():
    layer = Layer(
        name="a/very/long/path/of/a/layer/that/nobody/reads/ReLU_2",
        operator="DEPTHWISE_CONV_2D",
        sqnr_db=40.0,
        low=0.0,
        high=1.0,
    )
    page = html_page(replace(REPORT, variants=(replace(VARIANT, layers=(layer,)),)), {})
    (label,) = re.findall(r">(DEPTHWISE_CONV_2D [^<]*)<", page)
    assert label.endswith("/ReLU_2")
    assert len(label) <= 41
