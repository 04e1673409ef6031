"""Ten thousand devices come back at the same moment: how long until each one has its answer?

Simulated devices, real connections: each has one of its own, polls, and comes again when it is told
to (429 or 503, after Retry-After). Ours: the real server on SQLite just after its start, so that no
answer is known by heart. Baseline: uvicorn with an ASGI function that sends the same bytes at once.
Any other answer, a connection that fails, and a device that gives up after two minutes are errors.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.crowd import Crowd, Reception, come
from benchmarks.fleets import running_fleet
from benchmarks.load import bare_app
from edgekit.bench import Result, paired_ratio, summarize

QUESTION = "seconds until every device of a crowd is answered"
DEVICES, PATIENCE_S = 10_000, 120.0
BARE, OURS = "bare ASGI app", "fleet server"
_ANSWER = b'{"config":{"polling":{"sleep":"00:05:00"}},"_links":{}}'


def run(short: bool) -> list[Result]:
    """Measure in turns, with a new server each time; the short form takes about two minutes."""
    samples: dict[str, list[Reception]] = {BARE: [], OURS: []}
    for _ in range(2 if short else 6):
        with (
            tempfile.TemporaryDirectory() as folder,
            running_fleet(Path(folder), devices=DEVICES) as fleet,
            bare_app(_ANSWER) as bare,
        ):
            requests = tuple(fleet.request(index) for index in range(DEVICES))
            for name, port in ((BARE, bare), (OURS, fleet.ports[0])):
                crowd = Crowd(port=port, requests=requests, patience_s=PATIENCE_S)
                samples[name].append(come(crowd))
    return [_result(name, samples) for name in samples]


def _result(name: str, samples: dict[str, list[Reception]]) -> Result:
    took_s = [done.took_s for done in samples[name]]
    baseline_s = [done.took_s for done in samples[BARE]]
    later = [sum(n for s, n in done.statuses.items() if s != "200") for done in samples[name]]
    return Result(
        question=QUESTION,
        candidate=name,
        condition=f"{DEVICES} devices, a connection each",
        summary=summarize(took_s, unit="s"),
        samples=tuple(took_s),
        ratio=paired_ratio(took_s, baseline_s, rng=np.random.default_rng(3))
        if name != BARE
        else None,
        numbers={
            "told to come again": float(np.median(later)),
            "most tries of a device": float(max(done.tries for done in samples[name])),
            "errors": float(sum(sum(done.errors.values()) for done in samples[name])),
        },
    )
