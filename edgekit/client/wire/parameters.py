"""Wire types of parameters of models on single devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
