"""What is stored of drift: one hour of one device and bundle."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_server.domain.drift import Hour


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
