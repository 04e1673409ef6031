"""What is stored of parameters: one version of those of a model on a device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


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
