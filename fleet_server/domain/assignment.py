"""Which devices take part in a stage: computed from ids, so that a million devices need no rows.

A share is a hash: the same device has the same share in a rollout for ever, and an independent one
in the next rollout. Only stages by number, and the one device that every variant gets at least, are
chosen and stored. Whoever needs a sample of the fleet reads some of its cells.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fleet_server.domain.evidence import Population, Stratum
from fleet_server.domain.policy import Stage

POLLS_UNTIL_UNREACHABLE = 3
CELLS = 1024
"""Parts of a fleet. Stored with every device, so the number never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A device that matches a rollout and that a variant of the release fits.

    Attributes:
        device_id: Its identity.
        stratum: The variant that it would get, and its class of profile.
        site: Value of its label `site`; empty when it has none.
        last_polled_at: UTC; None when it never polled.
        poll_interval_s: What the server told it, seconds.
        baseline_windows: Windows of the same model that it sent lately.
        labels: What a stage's own selector reads.
        stands_for: Devices of its stratum that it stands for in a sample, itself included.
    """

    device_id: str
    stratum: Stratum
    site: str = ""
    last_polled_at: datetime | None
    poll_interval_s: float
    baseline_windows: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    stands_for: float = 1.0


def share_of(rollout_id: str, device_id: str) -> float:
    """Return the device's place in the rollout, evenly spread over [0, 1).

    The first 64 bits of SHA-256 over both ids, of which a float keeps 53.
    """
    key = f"{len(rollout_id)}:{rollout_id}{device_id}".encode()
    digest = hashlib.sha256(key).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def cell_of(device_id: str) -> int:
    """Return the part of the fleet that a device is in, evenly spread over [0, CELLS)."""
    return int.from_bytes(hashlib.sha256(device_id.encode()).digest()[:8], "big") % CELLS


def cells_in_turn(rollout_id: str) -> list[int]:
    """Return all cells in an order that the rollout draws: its samples begin with the first."""
    return sorted(range(CELLS), key=lambda cell: share_of(rollout_id, f"cell {cell}"))


def takes_part(
    stage: Stage,
    device_id: str,
    *,
    rollout_id: str,
    chosen: frozenset[str] = frozenset(),
    holdback: float = 0.0,
) -> bool:
    """Say whether a matching device takes part in a stage.

    Args:
        stage: The open stage.
        device_id: The device.
        rollout_id: Seeds the share.
        chosen: Devices that were chosen by number for this stage and those before it.
        holdback: Percent of the devices that no stage by percent reaches.
    """
    if device_id in chosen:
        return True
    reached = open_share(stage, holdback=holdback)
    return reached > 0 and share_of(rollout_id, device_id) < reached


def open_share(stage: Stage, *, holdback: float) -> float:
    """Return the share of the devices, [0, 1], that a stage reaches without naming them."""
    return 0.0 if stage.percent is None else min(stage.percent, 100 - holdback) / 100


def is_reachable(candidate: Candidate, now: datetime) -> bool:
    """Say whether the device polled within three intervals."""
    if candidate.last_polled_at is None:
        return False
    patience = timedelta(seconds=candidate.poll_interval_s * POLLS_UNTIL_UNREACHABLE)
    return now - candidate.last_polled_at <= patience


def populations(
    candidates: Iterable[Candidate], now: datetime, *, takes: Callable[[Candidate], float]
) -> tuple[Population, ...]:
    """Count the reachable devices of each stratum, and those of them that take part.

    Args:
        candidates: All of them, or a sample in which each stands for several.
        now: UTC.
        takes: Says whether a device takes part; of one that stands for several, which share of
            them does.
    """
    reachable: dict[Stratum, float] = defaultdict(float)
    taking: dict[Stratum, float] = defaultdict(float)
    for candidate in candidates:
        if is_reachable(candidate, now):
            reachable[candidate.stratum] += candidate.stands_for
            taking[candidate.stratum] += candidate.stands_for * takes(candidate)
    return tuple(
        Population(
            stratum=stratum,
            reachable=round(reachable[stratum]),
            taking_part=round(taking[stratum]),
        )
        for stratum in sorted(reachable)
    )


def choose_canaries(
    stage: Stage,
    candidates: Sequence[Candidate],
    *,
    rollout_id: str,
    now: datetime,
    chosen: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """Return the devices that the stage names, with those chosen before.

    Deterministic in the ids. Within a stratum (variant and class of profile) the sites take turns,
    so that no site carries a stage alone. Only reachable devices are chosen, and only those with a
    baseline, unless nobody in the stratum has one: that is a first install. A stage by percent
    names one device for each stratum that its share would leave without any.
    """
    ranked = _ranked(candidates, rollout_id=rollout_id, now=now, chosen=chosen)
    if stage.devices is not None:
        total = stage.devices - len(chosen)
        return chosen | frozenset(_turns(_fresh(ranked, chosen))[: max(0, total)])
    if stage.selector:
        return chosen
    picked = set(chosen)
    for stratum, device_ids in ranked.items():
        members = {c.device_id for c in candidates if c.stratum == stratum}
        if stage.devices_per_variant is not None:
            wanted = stage.devices_per_variant - len(members & chosen)
        else:
            covered = any(
                takes_part(stage, d, rollout_id=rollout_id, chosen=chosen) for d in device_ids
            )
            wanted = 0 if covered else 1
        picked.update([d for d in device_ids if d not in chosen][: max(0, wanted)])
    return frozenset(picked)


def _ranked(
    candidates: Sequence[Candidate], *, rollout_id: str, now: datetime, chosen: frozenset[str]
) -> dict[Stratum, list[str]]:
    """Order each stratum's eligible devices (and those chosen already): sites take turns."""
    strata: dict[Stratum, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        if is_reachable(candidate, now) or candidate.device_id in chosen:
            strata[candidate.stratum].append(candidate)
    ranked: dict[Stratum, list[str]] = {}
    for stratum in sorted(strata):
        members = _with_baseline(strata[stratum], chosen)
        members.sort(key=lambda c: (share_of(rollout_id, c.device_id), c.device_id))
        by_site: dict[str, list[str]] = defaultdict(list)
        for member in members:
            by_site[member.site].append(member.device_id)
        ranked[stratum] = _turns(by_site.values())
    return ranked


def _with_baseline(members: list[Candidate], chosen: frozenset[str]) -> list[Candidate]:
    if not any(member.baseline_windows for member in members):
        return members
    return [m for m in members if m.baseline_windows or m.device_id in chosen]


def _fresh(ranked: dict[Stratum, list[str]], chosen: frozenset[str]) -> list[list[str]]:
    """Leave out who was chosen before; strata with the fewest chosen come first."""
    ordered = sorted(ranked.values(), key=lambda ids: len(chosen.intersection(ids)))
    return [[d for d in device_ids if d not in chosen] for device_ids in ordered]


def _turns(queues: Iterable[list[str]]) -> list[str]:
    """Take the first of each queue, then the second of each, until all are empty."""
    placed = [(turn, order, d) for order, q in enumerate(queues) for turn, d in enumerate(q)]
    return [device_id for _, _, device_id in sorted(placed)]
