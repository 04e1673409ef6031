from dataclasses import replace
from pathlib import Path

import pytest

from converters.report import Attempt
from converters.show import print_report
from edgekit.verdict import Verdict
from tests.unit.converters.test_page import REPORT, VARIANT

FLOAT = replace(VARIANT, variant="onnx-fp32", attempts=(), front=True)
CLIMBED = (
    Attempt(rung="min-max", verdict=Verdict.FAIL, drop=3.0, low=2.0, high=4.0),
    Attempt(rung="entropy", verdict=Verdict.FAIL, reason="SQNR 3.8 dB, at least 15"),
    Attempt(rung="mse", verdict=Verdict.PASS, drop=0.2, low=-0.1, high=0.5),
)


def printed(capsys: pytest.CaptureFixture[str], **changes: object) -> str:
    print_report(replace(REPORT, **changes), Path("out"))  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_every_rung_is_printed_with_its_verdict(capsys: pytest.CaptureFixture[str]):
    lines = printed(capsys, variants=(replace(VARIANT, attempts=CLIMBED),)).splitlines()
    assert "onnx-int8, min-max: lost 3.00 (2.00 to 4.00): FAIL" in lines
    assert "onnx-int8, entropy: SQNR 3.8 dB, at least 15" in lines
    assert "onnx-int8, mse: lost 0.20 (-0.10 to 0.50): PASS" in lines


def test_the_front_is_printed_with_the_variant_that_is_picked(capsys: pytest.CaptureFixture[str]):
    variants = (FLOAT, replace(VARIANT, front=True), replace(VARIANT, variant="tflite-int8"))
    out = printed(capsys, variants=variants, picked="onnx-int8")
    assert "picked: onnx-int8; nothing beats in every respect: onnx-fp32, onnx-int8\n" in out
    assert "picked" not in printed(capsys, variants=variants)


def test_what_was_left_out_and_what_to_know_is_printed(capsys: pytest.CaptureFixture[str]):
    out = printed(capsys, notes=("ranges may be too narrow",))
    assert "note: ranges may be too narrow" in out
    assert "left out: tflite-int8 (--allow-slower keeps them)" in out
