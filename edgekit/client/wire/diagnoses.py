"""Wire types of diagnose bundles that devices are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DiagnosisState(StrEnum):
    """How far a request is."""

    WAITING = "waiting"
    HERE = "here"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisRequest:
    """POST /devices/{id}/diagnoses: a bundle that a device was asked for.

    Attributes:
        id: Number of the request.
        device: The device.
        asked_at: When (ISO 8601).
        asked_by: Account that asked.
        state: How far it is.
        problem: Why the device could make none.
        size: Bytes of the bundle.
    """

    id: int
    device: str
    asked_at: str
    asked_by: str
    state: DiagnosisState
    problem: str = ""
    size: int = 0
