from __future__ import annotations

import json

import pytest

from edgekit.errors import RuntimeFailedError
from edgekit.runtime.onnx_profile import operator_times


def event(name: str, us: float, *, cat: str = "Node", op: str = "Conv") -> dict[str, object]:
    return {"cat": cat, "name": name, "dur": us, "ts": 1, "args": {"op_name": op, "x": "1"}}


def test_kernels_are_summed_up_without_the_first_run():
    events = [
        event("a_kernel_time", 9000),
        event("b_kernel_time", 500, op="Gemm"),
        event("session", 1, cat="Session"),
        event("a_fence_before", 77),
        *[event("a_kernel_time", us) for us in (1000, 3000, 2000)],
        *[event("b_kernel_time", 100, op="Gemm") for _ in range(3)],
    ]
    found = operator_times(json.dumps(events).encode(), where="m.onnx")
    assert [(o.name, o.kind, o.median_ms) for o in found] == [
        ("a", "Conv", 2.0),
        ("b", "Gemm", 0.1),
    ]


def test_a_single_run_is_better_than_none():
    found = operator_times(json.dumps([event("a_kernel_time", 9000)]).encode(), where="m.onnx")
    assert found[0].median_ms == 9.0


def test_something_else_is_no_profile():
    with pytest.raises(RuntimeFailedError, match="no readable profile"):
        operator_times(b"[", where="m.onnx")
