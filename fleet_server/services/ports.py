"""What the use cases need of storage as a whole: one transaction, and where transactions come from.

Each table's protocol stands in a module of its own; all are implemented by fleet_server.store.
Everything inside one `write()` becomes durable together on leaving it, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from edgekit.trust.published import MetadataFiles
from fleet_server.services.benchmark_port import Benchmarks
from fleet_server.services.device_ports import Devices, Tokens
from fleet_server.services.event_ports import Alarms, Events, Webhooks
from fleet_server.services.field_tables import FieldTables
from fleet_server.services.garbage_port import Bundles
from fleet_server.services.people_ports import Accounts, Audit, KeptAnswers
from fleet_server.services.records import FlagRecord
from fleet_server.services.rollout_ports import Deployments, Releases, Rollouts
from fleet_server.services.telemetry_port import Telemetry
from fleet_server.services.trust_port import SealedKeys


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
