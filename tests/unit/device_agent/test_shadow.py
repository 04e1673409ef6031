"""Handing inputs on to a candidate never waits for it."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from device_agent.worker.engine import Answer
from device_agent.worker.shadow import WAITING, Tap
from edgekit.postprocessing import Classification
from edgekit.shadow import ShadowOrder, ShadowResult

LARGE = np.zeros((1, 3, 1024, 1024), np.float32)
ANSWER = Answer([np.zeros((1, 2), np.float32)], Classification("cat", 0.9), None, 0.01)


def test_what_a_candidate_does_not_take_is_dropped_and_counted() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        tap = Tap(ours, ShadowOrder(every=1), None)
        for _ in range(20):
            tap([LARGE], ANSWER, raw=False)  # nobody reads: this test would not end if it waited
        assert tap.dropped >= 20 - WAITING - 1
        tap.close()


def test_one_in_so_many_is_handed_on() -> None:
    ours, theirs = socket.socketpair()
    with theirs, theirs.makefile("rb") as source:
        tap = Tap(ours, ShadowOrder(every=3), None)
        for value in range(1, 10):
            tap([np.full((1,), value, np.uint8)], ANSWER, raw=True)
        came = []
        for _ in range(3):
            assert b'"label":"cat"' in source.readline()
            came.append(source.read(1)[0])
        tap.close()
    assert came == [3, 6, 9]


def test_a_candidate_that_ended_ends_the_handing_on_and_nothing_else() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    tap = Tap(ours, ShadowOrder(every=1), None)
    for _ in range(50):
        tap([LARGE[..., :8]], ANSWER, raw=False)
    tap.close()


def test_results_add_up_and_impossible_ones_are_not_sound() -> None:
    one = ShadowResult(pairs=4, agreed=3, failed=1, sum_log_ratio=0.4, sum_sq_log_ratio=0.1)
    both = one + ShadowResult(pairs=1, agreed=1, against="d" * 64)
    assert (both.pairs, both.agreed, both.against) == (5, 4, "d" * 64)
    assert one.agreement == pytest.approx(3 / 5)
    assert one.latency_ratio == pytest.approx(np.exp(0.1))
    assert one.is_sound
    assert ShadowResult().is_sound
    for wrong in (
        ShadowResult(pairs=1, agreed=2),
        ShadowResult(pairs=-1),
        ShadowResult(pairs=1, sum_log_ratio=float("nan")),
        ShadowResult(pairs=1, sum_log_ratio=5.0, sum_sq_log_ratio=1.0),
        ShadowResult(against="short"),
    ):
        assert not wrong.is_sound
