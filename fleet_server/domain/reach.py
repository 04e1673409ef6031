"""Whom a rollout reaches as far as it is open: computed from ids, strata and labels. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from fleet_server.domain.assignment import open_share, share_of
from fleet_server.domain.evidence import Stratum
from fleet_server.domain.policy import Shadow
from fleet_server.domain.rollout import Phase, Rollout

NO_LABELS: Mapping[str, str] = {}


def includes(
    rollout: Rollout,
    device_id: str,
    stratum: Stratum | None,
    labels: Mapping[str, str] = NO_LABELS,
) -> bool:
    """Say whether a matching device takes part in the rollout as far as it is open.

    Args:
        rollout: The rollout.
        device_id: The device.
        stratum: Variant that it would get and its class of profile; None when nothing fits it.
        labels: Its labels, which a stage's own selector reads.
    """
    reached = reach(rollout, device_id, stratum, labels)
    return reached > 0 and share_of(rollout.id, device_id) < reached


def reach(
    rollout: Rollout,
    device_id: str,
    stratum: Stratum | None,
    labels: Mapping[str, str] = NO_LABELS,
) -> float:
    """Return the share, [0, 1], below which a device takes part; 1 for one that is named.

    While the next stage waits for `open_stage`, the stage before it counts. A stratum goes only
    as far as its own evidence, also when the rollout is finished: one that nobody tried waits for
    a rollout of its own.
    """
    index = rollout.stage_index - (rollout.stage_started_at is None)
    if rollout.phase is Phase.FINISHED:
        if stratum is not None and not was_tried(rollout, stratum):
            return 0.0
    elif stratum is None:
        return 0.0
    if stratum is not None and (rollout.phase is not Phase.FINISHED or rollout.passed):
        index = min(index, rollout.rung(stratum))
    if index < 0:
        return 0.0
    stages = rollout.policy.stages
    ringed = any(s.selector and s.selects(labels) for s in stages[: index + 1])
    if ringed or device_id in rollout.chosen:
        return 1.0
    holdback = 0.0 if rollout.phase is Phase.FINISHED else rollout.policy.holdback
    return open_share(stages[index], holdback=holdback)


def was_tried(rollout: Rollout, stratum: Stratum) -> bool:
    """Say whether a stratum took part in a rollout, or a person vouched for all of it.

    Rollouts of servers that did not note strata count as tried by all.
    """
    vouched = rollout.vouched >= len(rollout.policy.stages)
    return vouched or not rollout.passed or str(stratum) in rollout.passed


def shadow_at(rollout: Rollout, stratum: Stratum | None) -> Shadow | None:
    """Return how devices of a stratum try the release without activating it; None to activate."""
    if rollout.phase is Phase.FINISHED or stratum is None:
        return None
    index = min(rollout.stage_index - (rollout.stage_started_at is None), rollout.rung(stratum))
    return rollout.policy.stages[max(0, index)].shadow
