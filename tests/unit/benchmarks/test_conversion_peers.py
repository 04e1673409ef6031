from __future__ import annotations

import sys

from benchmarks import conversion_peers
from benchmarks.conversion_peers import Found


def test_without_peers_there_is_nothing_to_compare_with(monkeypatch):
    for variable in conversion_peers.PEERS:
        monkeypatch.delenv(variable, raising=False)
    assert conversion_peers.run(True) == []


def test_memory_is_that_of_the_candidate_and_not_of_who_measures():
    ballast = bytearray(200 << 20)
    found = Found()
    conversion_peers._timed([sys.executable, "-S", "-c", "pass"], found)
    conversion_peers._timed([sys.executable, "-S", "-c", "b = b'x' * (100 << 20)"], found)
    assert len(ballast) == 200 << 20
    assert found.memory_mb[0] < 60
    assert 100 < found.memory_mb[1] < 170
    assert all(seconds > 0 for seconds in found.seconds)
