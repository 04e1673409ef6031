"""Whether an offer may be made now: maintenance windows and rate limits of its rollout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fleet_server.domain.deployment import DeploymentKind
from fleet_server.domain.timing import is_open
from fleet_server.services.fleet_plan import KEPT_STATES, FleetPlan
from fleet_server.services.offers import Offer
from fleet_server.services.ports.database import Tables
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord


class Gatekeeper:
    """Asked about the offers of one poll; remembers whether it withheld one.

    Windows hold for ways forward only. A way back that the device finds in its other slot costs
    nobody anything and is never withheld; one that has to be downloaded counts for the rate limit.
    """

    def __init__(
        self,
        tables: Tables,
        device: DeviceRecord,
        deployments: Sequence[DeploymentRecord],
        plan: FleetPlan,
        now: datetime,
    ) -> None:
        self._tables = tables
        self._device = device
        self._deployments = deployments
        self._plan = plan
        self._now = now
        self.withheld = False

    def __call__(self, offer: Offer) -> bool:
        """Say whether an offer may be made now."""
        may = self._may_go(offer)
        self.withheld = self.withheld or not may
        return may

    def _may_go(self, offer: Offer) -> bool:
        rollout = self._plan.rollout(offer.goal.rollout_id)
        if rollout is None:
            return True
        policy, back = rollout.policy, offer.goal.kind is DeploymentKind.ROLLBACK
        if back and self._is_in_other_slot(offer):
            return True
        if not back and not is_open(policy.windows, self._now):
            return False
        if policy.rate_limit is None:
            return True
        since = self._now - policy.rate_limit.period
        offered = self._tables.deployments.offered_since(rollout.id, since)
        return offered < policy.rate_limit.devices

    def _is_in_other_slot(self, offer: Offer) -> bool:
        """Say whether the bundle is what the device kept before what it runs."""
        running = self._device.running.get(offer.model, "")
        kept = [
            d.digest
            for d in self._deployments
            if d.deployment.model == offer.model
            and d.deployment.state in KEPT_STATES
            and d.digest != running
        ]
        return bool(kept) and kept[-1] == offer.variant.digest
