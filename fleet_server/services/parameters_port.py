"""What the parameters use case needs of storage; as fleet_server.services.ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class ParametersState(StrEnum):
    """What is known of one version. Stored; never renamed."""

    WAITING = "waiting"
    APPLIED = "applied"
    REFUSED = "refused"
    """The bundle that runs takes other parameters: its defaults hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametersRecord:
    """One version of the parameters of a model on a device.

    Attributes:
        device_id: The device.
        model: Name of the model.
        version: From 1 on, by device and model.
        origin: The version whose values these are; itself when a person wrote them, 0 when they
            are the defaults.
        values: By name; empty for the defaults.
        by: Account that set or took back.
        at: When.
        state: What the device said of it last.
        digest: SHA-256 of the bundle that said so; empty before.
        detail: Why it was refused.
    """

    device_id: str
    model: str
    version: int
    origin: int
    values: dict[str, Any]
    by: str
    at: datetime
    state: ParametersState = ParametersState.WAITING
    digest: str = ""
    detail: str = ""


class DeviceParameters(Protocol):
    """Versions by device and model."""

    def add(self, record: ParametersRecord) -> None:
        """Add a version."""
        ...

    def answered(self, record: ParametersRecord) -> None:
        """Replace state, digest and detail of a version."""
        ...

    def of_device(self, device_id: str) -> Sequence[ParametersRecord]:
        """Return every version on a device, by model and version."""
        ...

    def count(self, device_id: str) -> int:
        """Return how many versions there are on a device: another number after each change."""
        ...
