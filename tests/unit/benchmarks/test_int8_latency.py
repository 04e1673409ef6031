"""What is refused is a row of the table, and ends no benchmark."""

from __future__ import annotations

from pathlib import Path

from benchmarks.int8_latency import refused
from benchmarks.int8_models import FAILED


def test_a_proof_that_refuses_and_a_peer_that_fails_are_rows(tmp_path: Path) -> None:
    (tmp_path / f"onnx{FAILED}").write_text("edgekit: SQNR 13.5 dB, at least 15")
    (tmp_path / f"olive_int8.onnx{FAILED}").write_text("Olive: no such operator")
    for made in ("float", "plain_int8"):
        (tmp_path / f"{made}.onnx").touch()
    rows = list(refused("a net", "ONNX Runtime", tmp_path))
    assert [row.candidate for row in rows] == [
        "edgekit: SQNR 13.5 dB, at least 15",
        "Olive: no such operator",
        "NNCF: not installed here (EDGEKIT_NNCF names no python)",
    ]
    assert {(row.condition, row.summary.unit) for row in rows} == {
        ("a net, ONNX Runtime", "refused")
    }


def test_what_was_made_is_no_row_of_the_refused(tmp_path: Path) -> None:
    (tmp_path / f"onnx{FAILED}").write_text("edgekit: SQNR 13.5 dB, at least 15")
    assert list(refused("a net", "LiteRT", tmp_path)) == []
