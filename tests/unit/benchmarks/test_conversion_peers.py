from __future__ import annotations

import sys

from benchmarks import conversion_peers
from benchmarks.conversion_peers import OURS, PLAIN, Found


def test_without_peers_there_is_nothing_to_compare_with(monkeypatch):
    for variable in conversion_peers.PEERS:
        monkeypatch.delenv(variable, raising=False)
    assert conversion_peers.run(True) == []


def test_memory_is_that_of_the_candidate_and_not_of_who_measures():
    ballast = bytearray(200 << 20)
    found = Found()
    conversion_peers._timed([sys.executable, "-S", "-c", "pass"], found)
    conversion_peers._timed(
        [sys.executable, "-S", "-c", "import time; b = b'x' * (100 << 20); time.sleep(1)"], found
    )
    assert len(ballast) == 200 << 20
    assert found.memory_mb[0] < 60
    assert 100 < found.memory_mb[1] < 170
    assert all(seconds > 0 for seconds in found.seconds)


def test_a_candidate_that_fails_is_a_row_and_ends_nothing():
    found = {PLAIN: Found(seconds=[2.0, 2.1]), OURS: Found(seconds=[3.0])}
    assert not conversion_peers._timed(
        [sys.executable, "-S", "-c", "raise SystemExit('no')"], found[OURS]
    )
    assert [(row.candidate, row.condition) for row in conversion_peers._results("net", found)] == [
        (PLAIN, "net: seconds"),
        (OURS, "net: seconds"),
        (f"{OURS}: no", "net: refused"),
    ]
