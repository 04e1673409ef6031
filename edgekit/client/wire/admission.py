"""Wire types of who may speak: enrolment tokens, devices that are added, gateways."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEnrolmentToken:
    """POST /enrolment-tokens: devices that carry the token may become known.

    Attributes:
        uses: How many devices, at least 1.
        life_s: How long, seconds.
        labels: Labels that each device enrolled by it gets.
        accept: False keeps each device waiting until a person accepts it.
        device_ids: Ids that may use it; empty for any. A device of such an id that is known
            already may enrol again, because its hardware was replaced; its history stays.
    """

    uses: int = 1
    life_s: float = 86400.0
    labels: dict[str, str] = field(default_factory=dict)
    accept: bool = True
    device_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentToken:
    """An enrolment token, shown once."""

    token: str
    uses: int
    expires_at: str
    root_sha256: str


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
