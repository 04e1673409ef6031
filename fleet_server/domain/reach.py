"""Whom a rollout reaches as far as it is open: computed from ids, strata and labels. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from fleet_server.domain.assignment import takes_part
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

    While the next stage waits for `open_stage`, the stage before it counts. A stratum goes only
    as far as its own evidence, also when the rollout is finished: one that nobody tried waits for
    a rollout of its own.

    Args:
        rollout: The rollout.
        device_id: The device.
        stratum: Variant that it would get and its class of profile; None when nothing fits it.
        labels: Its labels, which a stage's own selector reads.
    """
    index = rollout.stage_index - (rollout.stage_started_at is None)
    if rollout.phase is Phase.FINISHED:
        if stratum is not None and not was_tried(rollout, stratum):
            return False
    elif stratum is None:
        return False
    if stratum is not None and (rollout.phase is not Phase.FINISHED or rollout.passed):
        index = min(index, rollout.rung(stratum))
    if index < 0:
        return False
    policy = rollout.policy
    if any(s.selector and s.selects(labels) for s in policy.stages[: index + 1]):
        return True
    return takes_part(
        policy.stages[index],
        device_id,
        rollout_id=rollout.id,
        chosen=rollout.chosen,
        holdback=0.0 if rollout.phase is Phase.FINISHED else policy.holdback,
    )


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
