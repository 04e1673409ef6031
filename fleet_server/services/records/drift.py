"""What is stored of drift: hours of devices and of releases, and what bundles were proven on."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.drift import DriftReference
from fleet_server.domain.drift import Hour
from fleet_server.domain.release_drift import ReleaseHour


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRecord:
    """One hour of one device and bundle.

    Attributes:
        device_id: The device.
        model: Name of the model.
        digest: SHA-256 of the bundle that ran.
        hour: What was counted, and what drifted.
        watched: There were enough hours before to say.
        told: What drifted, in words; empty when nothing did.
    """

    device_id: str
    model: str
    digest: str
    hour: Hour
    watched: bool = False
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRecord:
    """What a published bundle was proven on.

    Attributes:
        digest: SHA-256 of the bundle.
        model: Name of the model.
        reference: As the bundle carries it.
    """

    digest: str
    model: str
    reference: DriftReference


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHourRecord:
    """One hour of all devices with one bundle.

    Attributes:
        digest: SHA-256 of the bundle.
        hour: What they met.
    """

    digest: str
    hour: ReleaseHour
