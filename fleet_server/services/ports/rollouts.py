"""What the use cases need of storage for rollouts and the deployments that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from fleet_server.services.records.deployments import DeploymentRecord, FeedbackRecord
from fleet_server.services.records.rollouts import HappeningRecord, RolloutRecord


class Rollouts(Protocol):
    """Rollouts and what happened to them."""

    def get(self, rollout_id: str) -> RolloutRecord | None:
        """Return a rollout."""
        ...

    def put(self, record: RolloutRecord) -> None:
        """Add or replace a rollout."""
        ...

    def all(self) -> Sequence[RolloutRecord]:
        """Return every rollout, oldest first."""
        ...

    def page(self, *, after: str, limit: int | None) -> Sequence[RolloutRecord]:
        """Return rollouts behind one's id, oldest first; none if it is unknown."""
        ...

    def open_ids(self) -> Sequence[str]:
        """Return the ids of rollouts that go on."""
        ...

    def tell(self, rollout_id: str, happenings: Sequence[HappeningRecord]) -> None:
        """Add what happened."""
        ...

    def happenings(self, rollout_id: str) -> Sequence[HappeningRecord]:
        """Return what happened, oldest first."""
        ...


class Deployments(Protocol):
    """Deployments by action number."""

    def add(self, record: DeploymentRecord) -> DeploymentRecord:
        """Add a deployment; returns it with its number."""
        ...

    def put(self, record: DeploymentRecord) -> None:
        """Replace a deployment."""
        ...

    def get(self, action: int) -> DeploymentRecord | None:
        """Return a deployment."""
        ...

    def of_device(self, device_id: str) -> Sequence[DeploymentRecord]:
        """Return a device's deployments, oldest first."""
        ...

    def of_devices(self, device_ids: Iterable[str]) -> Mapping[str, list[DeploymentRecord]]:
        """Return deployments by device, oldest first."""
        ...

    def activated_since(
        self, device_ids: Iterable[str], since: datetime, *, other_than: str
    ) -> Mapping[str, datetime]:
        """Return when devices last activated another model than this, if after a time."""
        ...

    def of_rollout(self, rollout_id: str) -> Sequence[DeploymentRecord]:
        """Return a rollout's deployments, oldest first."""
        ...

    def heard(self, action: int, record: FeedbackRecord) -> None:
        """Keep what a device said."""
        ...

    def heard_count(self, action: int) -> int:
        """Return how often a device spoke about an action."""
        ...

    def said(self, action: int, *, limit: int) -> Sequence[FeedbackRecord]:
        """Return what a device said about an action, newest first."""
        ...

    def offered_since(self, rollout_id: str, since: datetime) -> int:
        """Count the offers that a rollout made after a time."""
        ...

    def counts(self, rollout_id: str) -> Mapping[str, int]:
        """Count deployments by state."""
        ...
