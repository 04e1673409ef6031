"""What a gate reads: summaries of devices, never single windows.

Whoever builds it (a service) has already left out what does not count: windows outside the stage's
interval or late, digests that were never offered to the device, devices that were unhealthy before
the swap, that share a gateway token, or whose other model changed in the interval. Whom it left
out, and why, is part of the evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from edgekit.shadow import ShadowResult
from fleet_server.domain.deployment import DeploymentState
from fleet_server.domain.drift import Drifting


class Role(StrEnum):
    """Which side of the comparison a device is on."""

    CANARY = "canary"
    CONTROL = "control"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Stratum:
    """A variant on one class of profile: what widens only on its own evidence.

    Attributes:
        variant: Name of the variant within the release.
        profile_class: Coarse class of hardware; empty when the fleet is not divided.
    """

    variant: str
    profile_class: str = ""

    def __str__(self) -> str:
        return f"{self.variant} on {self.profile_class}" if self.profile_class else self.variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The windows of one device in one interval, merged. Sums merge exactly.

    Attributes:
        windows: Windows received with at least one inference, each once.
        inferences: Inferences tried.
        errors: Inferences that failed in any stage, <= `inferences`.
        latencies: Latencies measured.
        sum_log_latency: Sum of ln(latency in ms).
        sum_sq_log_latency: Sum of squares of ln(latency in ms).
        max_rss_bytes: Largest resident memory of the worker.
        tails: Windows whose 95th percentile is known.
        sum_log_p95: Sum over them of ln(95th percentile of the latency in ms).
        sum_rss_mb: Sum over the windows of the worker's resident memory, MiB.
    """

    windows: int = 0
    inferences: int = 0
    errors: int = 0
    latencies: int = 0
    sum_log_latency: float = 0.0
    sum_sq_log_latency: float = 0.0
    max_rss_bytes: int = 0
    tails: int = 0
    sum_log_p95: float = 0.0
    sum_rss_mb: float = 0.0

    def __add__(self, other: Self) -> Summary:
        return Summary(
            windows=self.windows + other.windows,
            inferences=self.inferences + other.inferences,
            errors=self.errors + other.errors,
            latencies=self.latencies + other.latencies,
            sum_log_latency=self.sum_log_latency + other.sum_log_latency,
            sum_sq_log_latency=self.sum_sq_log_latency + other.sum_sq_log_latency,
            max_rss_bytes=max(self.max_rss_bytes, other.max_rss_bytes),
            tails=self.tails + other.tails,
            sum_log_p95=self.sum_log_p95 + other.sum_log_p95,
            sum_rss_mb=self.sum_rss_mb + other.sum_rss_mb,
        )

    @property
    def mean_log_latency(self) -> float | None:
        """Mean of ln(latency in ms); None when none was measured."""
        return self.sum_log_latency / self.latencies if self.latencies else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another model on the same device, whose bundle stayed the same.

    Attributes:
        before: Its windows before the stage.
        after: Its windows in the stage's interval.
    """

    before: Summary
    after: Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvidence:
    """One device within one stage.

    Attributes:
        device_id: Its identity; appears once in an `Evidence`.
        stratum: Variant and class of profile.
        role: CANARY takes part in the stage; CONTROL keeps running what it ran, or, before a first
            install, runs nothing and only polls.
        site: Value of its label `site`; empty when it has none.
        outcome: State of its deployment; None for a control or before the first offer.
        silent: No poll for three intervals; of a canary, after it activated.
        overdue: It should have polled by now, and is not silent yet.
        before: Its windows on the previous release, before the swap (empty: first install).
        after: Its windows on the new release (a control: on the old) in the stage's interval.
        shadow: What it found about the release while that answered nobody; None if nothing yet.
        neighbours: Other models that it ran before and in the stage.
    """

    device_id: str
    stratum: Stratum
    role: Role
    site: str = ""
    outcome: DeploymentState | None = None
    silent: bool = False
    overdue: bool = False
    before: Summary = Summary()
    after: Summary = Summary()
    shadow: ShadowResult | None = None
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def log_change(self) -> float | None:
        """Mean ln(latency) after minus before; None when either side is missing."""
        before, after = self.before.mean_log_latency, self.after.mean_log_latency
        return None if before is None or after is None else after - before


class LeftOut(StrEnum):
    """Why a canary is no evidence, neither for nor against. Stored values are never renamed."""

    UNHEALTHY_BEFORE = "unhealthy before the swap"
    OTHER_MODEL_CHANGED = "another of its models changed"
    QUARANTINED = "it is quarantined"
    SHARED_GATEWAY = "it shares a gateway token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """How many devices of a stratum a stage reaches.

    Attributes:
        stratum: Variant and class of profile.
        reachable: Matching devices that polled within three intervals, on either side.
        taking_part: Those of them that take part in the stage.
    """

    stratum: Stratum
    reachable: int
    taking_part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a gate may know about a stage.

    Attributes:
        devices: Canaries and controls, each device once.
        populations: One for each stratum that has a reachable device. A stratum that has neither
            that nor a canary is not waited for.
        left_out: Canaries that are no evidence, and why; in neither of the others.
        drift: How many of the devices see something unusual.
        labelled: Variant of the release to its labelled answers: how many are right, of how many.
    """

    devices: tuple[DeviceEvidence, ...] = ()
    populations: tuple[Population, ...] = ()
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    drift: Drifting = field(default_factory=Drifting)
    labelled: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def awaited(self) -> tuple[Population, ...]:
        """The populations, and those of canaries that are all out of reach: silence is no pass."""
        known = {population.stratum for population in self.populations}
        lost = Counter(
            d.stratum for d in self.devices if d.role is Role.CANARY and d.stratum not in known
        )
        return self.populations + tuple(
            Population(stratum=stratum, reachable=0, taking_part=lost[stratum])
            for stratum in sorted(lost)
        )

    def of(self, stratum: Stratum | None, role: Role) -> tuple[DeviceEvidence, ...]:
        """Return the devices of one role, of one stratum or (None) of all."""
        return tuple(
            device
            for device in self.devices
            if device.role is role and stratum in (None, device.stratum)
        )
