"""Wire types of the management API for single devices: tokens, pins, what ran when, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.manifest import Lineage


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """POST /devices: make a device known that cannot enrol by itself."""

    id: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceToken:
    """A device's token, shown once."""

    device_id: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGateway:
    """POST /gateways: a token that speaks for the devices behind a gateway."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayToken:
    """A gateway's token, shown once."""

    name: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """Why a person did something."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """PUT /devices/{id}/pins/{model}: install just this release there."""

    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RanView:
    """GET /devices/{id}/running: what a device ran at a time, so that it can be reproduced.

    Attributes:
        model: Name of the model.
        version: Its release.
        variant: The variant.
        digest: SHA-256 of the bundle.
        since: When the device began to run it, or, of a foreign client, said so.
        on_trial: It was on probation at that time.
        lineage: What the bundle was made of; None when the bundle is gone or is none.
    """

    model: str
    version: str
    variant: str
    digest: str
    since: str
    on_trial: bool = False
    lineage: Lineage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """GET /devices/{id}/diagnosis: why a device runs what it runs, one finding a line.

    Attributes:
        healthy: Nothing needs anybody's attention.
        findings: What was found, the most important first.
    """

    healthy: bool
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeView:
    """GET and PUT /freeze: whether every offer is stopped, since when and by whom."""

    frozen: bool
    by: str = ""
    at: str | None = None
    reason: str = ""
