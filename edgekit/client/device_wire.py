"""Wire types of the management API for single devices: tokens, pins, what ran when, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True, slots=True, kw_only=True)
class NewParameters:
    """PUT /devices/{id}/parameters/{model}: all parameters at once; none for the defaults."""

    values: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametersView:
    """GET /devices/{id}/parameters: one version of a model's parameters on a device.

    Attributes:
        device: The device.
        model: Name of the model.
        version: From 1 on, by device and model.
        origin: The version whose values these are; 0 when they are the defaults.
        values: By name; empty for the defaults.
        by: Account that set or took back.
        at: When, ISO 8601.
        state: "waiting", "applied" or "refused", as the device said last.
        digest: SHA-256 of the bundle that said so; empty before.
        detail: Why it was refused.
    """

    device: str
    model: str
    version: int
    origin: int
    values: dict[str, Any]
    by: str
    at: str
    state: str
    digest: str = ""
    detail: str = ""
