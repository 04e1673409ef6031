"""One transaction over all tables, and who begins it.

Everything inside one `write()` becomes durable together on leaving it, or not at all.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from edgekit.trust.published import MetadataFiles
from fleet_server.services.ports.accounts import Accounts, Audit, KeptAnswers
from fleet_server.services.ports.benchmarks import Benchmarks
from fleet_server.services.ports.bundles import Bundles
from fleet_server.services.ports.changes import Changes, Flags
from fleet_server.services.ports.devices import Devices, Tokens
from fleet_server.services.ports.diagnoses import Diagnoses
from fleet_server.services.ports.downloads import DownloadSlots
from fleet_server.services.ports.drift import DriftHours, ReleaseDrift
from fleet_server.services.ports.events import Alarms, Events, Webhooks
from fleet_server.services.ports.experiments import Experiments
from fleet_server.services.ports.field import FieldAnswers
from fleet_server.services.ports.parameters import DeviceParameters
from fleet_server.services.ports.releases import Releases
from fleet_server.services.ports.rollouts import Deployments, Rollouts
from fleet_server.services.ports.telemetry import Telemetry
from fleet_server.services.ports.trust import SealedKeys


class Tables(Protocol):
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
    def download_slots(self) -> DownloadSlots:
        """Who downloads where."""
        ...

    @property
    def trust_files(self) -> MetadataFiles:
        """Signed metadata."""
        ...

    @property
    def online_keys(self) -> SealedKeys:
        """The server's own keys."""
        ...

    @property
    def diagnoses(self) -> Diagnoses:
        """Diagnose bundles."""
        ...

    @property
    def experiments(self) -> Experiments:
        """A/B experiments."""
        ...

    @property
    def drift(self) -> DriftHours:
        """Drift by the hour."""
        ...

    @property
    def release_drift(self) -> ReleaseDrift:
        """What releases meet in the field, and what they were proven on."""
        ...

    @property
    def field(self) -> FieldAnswers:
        """Recorded answers and labels."""
        ...

    @property
    def parameters(self) -> DeviceParameters:
        """Parameters of models on devices."""
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

    def together(self) -> AbstractContextManager[Tables]:
        """Begin to write all or nothing what takes a moment; who waits shares the commit."""
        ...

    def roll_up(self, *, before: datetime) -> int:
        """Turn windows received before a time into rows of days; returns how many."""
        ...

    def append(self) -> AbstractContextManager[Tables]:
        """Begin to add facts that depend on nothing stored; others may do so at the same time."""
        ...
