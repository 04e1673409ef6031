"""Summaries merge, and what is missing stays missing."""

import math

import pytest

from fleet_server.domain.evidence import Evidence, Population, Role, Stratum, Summary


def test_summaries_merge_exactly() -> None:
    first = Summary(
        windows=2, inferences=10, errors=1, latencies=9, sum_log_latency=18.0,
        sum_sq_log_latency=36.0, max_rss_bytes=500,
    )  # fmt: skip
    second = Summary(windows=1, inferences=5, latencies=5, sum_log_latency=5.0, max_rss_bytes=700)
    assert first + second == Summary(
        windows=3, inferences=15, errors=1, latencies=14, sum_log_latency=23.0,
        sum_sq_log_latency=36.0, max_rss_bytes=700,
    )  # fmt: skip
    assert first + Summary() == first


def test_without_latencies_there_is_no_mean() -> None:
    assert Summary(windows=3, inferences=3, errors=3).mean_log_latency is None


def test_a_change_needs_both_sides(canary) -> None:
    assert canary("c", after_ms=40).log_change == pytest.approx(math.log(2))
    assert canary("c", before_ms=None).log_change is None
    assert canary("c", after_ms=None).log_change is None


def test_devices_are_found_by_role_and_stratum(canary, control, gathered) -> None:
    evidence = gathered(canary("a"), canary("b", variant="b"), control("k"))
    assert [d.device_id for d in evidence.of(None, Role.CANARY)] == ["a", "b"]
    assert [d.device_id for d in evidence.of(Stratum(variant="b"), Role.CANARY)] == ["b"]
    assert [d.device_id for d in evidence.of(Stratum(variant="a"), Role.CONTROL)] == ["k"]


def test_canaries_out_of_reach_are_still_waited_for(canary, control) -> None:
    evidence = Evidence(devices=(canary("x"), canary("y"), control("z", variant="b")))
    assert evidence.awaited == (
        Population(stratum=Stratum(variant="a"), reachable=0, taking_part=2),
    )


def test_a_stratum_reads_as_people_say_it() -> None:
    assert str(Stratum(variant="onnx-int8")) == "onnx-int8"
    assert str(Stratum(variant="onnx-int8", profile_class="arm64")) == "onnx-int8 on arm64"
