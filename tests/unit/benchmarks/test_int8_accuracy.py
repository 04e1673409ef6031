"""A variant that the proof refuses is a row of the table, and ends no benchmark."""

from __future__ import annotations

import pytest

from benchmarks.int8_accuracy import Loss, rows


def _loss(lost: int) -> Loss:
    return Loss(lost=lost, won=0, samples=500, rung="min-max")


def _refused(reason: str) -> Loss:
    return Loss(lost=0, won=0, samples=0, rung="", refused=reason)


def test_what_is_refused_stands_beside_what_is_delivered() -> None:
    losses = [_loss(5), _refused("agreement 93.6%, at least 95.0%"), _refused("SQNR 3 dB")]
    delivered, refused = rows("digits", "openvino-int8", "defaults", losses)
    assert delivered.samples == (1.0,)
    assert delivered.numbers["answers"] == 500
    assert refused.candidate == "openvino-int8, defaults: refused (agreement 93.6%, at least 95.0%)"
    assert refused.summary.median == 2
    assert refused.numbers == {"of": 3.0}


@pytest.mark.parametrize("count", [1, 5])
def test_where_all_are_refused_no_points_are_told(count: int) -> None:
    (row,) = rows("digits", "onnx-int8", "defaults", [_refused("SQNR 3 dB")] * count)
    assert row.summary.unit == "refused"
    assert row.summary.median == count
    assert row.samples == ()
