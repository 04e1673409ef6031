"""What the use cases need of storage: small protocols, implemented by fleet_server.store.

Everything inside one `write()` becomes durable together on leaving it, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from edgekit.telemetry import LogHistogram
from edgekit.trust.published import MetadataFiles
from fleet_server.domain.evidence import Summary
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.selector import Selector
from fleet_server.services.benchmark_port import Benchmarks
from fleet_server.services.event_ports import Alarms, Events, Webhooks
from fleet_server.services.field_tables import FieldTables
from fleet_server.services.garbage_port import Bundles
from fleet_server.services.people_ports import Accounts, Audit, KeptAnswers
from fleet_server.services.records import (
    DeploymentRecord,
    DeviceRecord,
    EnrolmentRecord,
    FeedbackRecord,
    FlagRecord,
    HappeningRecord,
    ReleaseRecord,
    RolloutRecord,
    WindowRecord,
    WindowTotals,
)
from fleet_server.services.trust_port import SealedKeys


class Devices(Protocol):
    """Devices by id."""

    def get(self, device_id: str) -> DeviceRecord | None:
        """Return a device by id."""
        ...

    def put(self, device: DeviceRecord) -> None:
        """Add or replace a device."""
        ...

    def some(self, device_ids: Iterable[str]) -> Mapping[str, DeviceRecord]:
        """Return devices by id; unknown ids are left out."""
        ...

    def page(self, *, selector: Selector, after: str, limit: int | None) -> Sequence[DeviceRecord]:
        """Return devices whose labels match, by id, behind `after`."""
        ...

    def count(self) -> int:
        """Return how many devices there are."""
        ...

    def seen(self, times: Mapping[str, datetime]) -> None:
        """Set the time of the last poll."""
        ...


class Tokens(Protocol):
    """Digests of tokens; the tokens themselves are never stored."""

    def enrolment(self, token_sha256: str) -> EnrolmentRecord | None:
        """Return an enrolment token."""
        ...

    def put_enrolment(self, record: EnrolmentRecord) -> None:
        """Add or replace an enrolment token."""
        ...

    def gateway(self, token_sha256: str) -> str | None:
        """Return a gateway's name."""
        ...

    def put_gateway(self, token_sha256: str, name: str, *, now: datetime) -> None:
        """Add a gateway's token."""
        ...

    def drop_gateway(self, name: str) -> int:
        """Forget a gateway's tokens; returns how many there were."""
        ...


class Releases(Protocol):
    """Releases by model and version."""

    def get(self, model: str, version: str) -> ReleaseRecord | None:
        """Return a release."""
        ...

    def add(self, release: ReleaseRecord) -> None:
        """Add a release with its variants."""
        ...

    def set_state(self, model: str, version: str, state: ReleaseState) -> None:
        """Change the state of a release."""
        ...

    def all(self) -> Sequence[ReleaseRecord]:
        """Return every release, oldest first."""
        ...

    def page(self, *, after: tuple[str, str] | None, limit: int | None) -> Sequence[ReleaseRecord]:
        """Return releases behind a model's version, oldest first."""
        ...


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


class Telemetry(Protocol):
    """Windows by (device, spool, seq)."""

    def add(self, windows: Sequence[WindowRecord]) -> None:
        """Store windows, each once."""
        ...

    def totals(self, device_id: str) -> Sequence[WindowTotals]:
        """Add a device's windows up."""
        ...

    def last_digest(
        self, device_id: str, model: str, *, before: datetime, other_than: str = ""
    ) -> str | None:
        """Return what a device ran last before a time."""
        ...

    def last_digests(
        self, device_ids: Iterable[str], model: str, *, since: datetime | None, before: datetime
    ) -> Mapping[str, str]:
        """Return what devices ran last in (since, before], by device."""
        ...

    def summary(self, device_id: str, digest: str, *, since: datetime, until: datetime) -> Summary:
        """Merge windows that ended in (since, until]."""
        ...

    def summaries(
        self, device_ids: Iterable[str], model: str, *, since: datetime, until: datetime
    ) -> Mapping[tuple[str, str], Summary]:
        """Merge windows of a model that ended in (since, until], by device and digest."""
        ...

    def neighbours(
        self, device_ids: Iterable[str], model: str, *, since: datetime, until: datetime
    ) -> Mapping[tuple[str, str], Summary]:
        """Merge windows of all other models that ended in (since, until], by device and digest."""
        ...

    def latencies(self, device_id: str, digest: str, *, since: datetime) -> LogHistogram:
        """Merge the latencies of the windows of one digest that ended after a time."""
        ...

    def windows_since(self, model: str, since: datetime) -> Mapping[str, int]:
        """Count windows by device."""
        ...


class Changes(Protocol):
    """A numbered list of what may change a device's answer, so that every process notices."""

    def record(self, device_id: str | None) -> None:
        """Say that the answer to a device, or (None) to any, may change."""
        ...

    def version(self) -> int:
        """Return the number of the latest change."""
        ...

    def last_for_all(self) -> int:
        """Return the number of the latest change that concerns all."""
        ...

    def since(self, version: int) -> Sequence[tuple[int, str | None]]:
        """Return the changes after a number, in order."""
        ...

    def forget_before(self, version: int) -> None:
        """Delete old changes of single devices."""
        ...


class Flags(Protocol):
    """Switches of the whole fleet."""

    def get(self, name: str) -> FlagRecord | None:
        """Return a flag."""
        ...

    def put(self, record: FlagRecord) -> None:
        """Set a flag."""
        ...


class Tables(FieldTables, Protocol):
    """One transaction."""

    @property
    def accounts(self) -> Accounts:
        """Accounts and tokens of people."""
        ...

    @property
    def audit(self) -> Audit:
        """The audit log."""
        ...

    @property
    def kept_answers(self) -> KeptAnswers:
        """Kept answers."""
        ...

    @property
    def devices(self) -> Devices:
        """Devices."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Tokens."""
        ...

    @property
    def releases(self) -> Releases:
        """Releases."""
        ...

    @property
    def rollouts(self) -> Rollouts:
        """Rollouts."""
        ...

    @property
    def deployments(self) -> Deployments:
        """Deployments."""
        ...

    @property
    def telemetry(self) -> Telemetry:
        """Telemetry."""
        ...

    @property
    def changes(self) -> Changes:
        """Changes."""
        ...

    @property
    def flags(self) -> Flags:
        """Flags."""
        ...

    @property
    def webhooks(self) -> Webhooks:
        """Webhooks."""
        ...

    @property
    def events(self) -> Events:
        """What happened."""
        ...

    @property
    def alarms(self) -> Alarms:
        """Alarms."""
        ...

    @property
    def benchmarks(self) -> Benchmarks:
        """Benchmark jobs."""
        ...

    @property
    def bundles(self) -> Bundles:
        """Who uses which bundle."""
        ...

    @property
    def trust_files(self) -> MetadataFiles:
        """Signed metadata."""
        ...

    @property
    def online_keys(self) -> SealedKeys:
        """The server's own keys."""
        ...


class Database(Protocol):
    """Transactions; safe to use from several threads."""

    @property
    def commits(self) -> int:
        """How many transactions with recorded changes this process committed."""
        ...

    def read(self) -> AbstractContextManager[Tables]:
        """Begin to read one consistent state."""
        ...

    def write(self) -> AbstractContextManager[Tables]:
        """Begin to write all or nothing; writers of all processes take turns."""
        ...

    def roll_up(self, *, before: datetime) -> int:
        """Turn windows received before a time into rows of days; returns how many."""
        ...

    def append(self) -> AbstractContextManager[Tables]:
        """Begin to add facts that depend on nothing stored; others may do so at the same time."""
        ...
