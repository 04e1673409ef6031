"""The part of the management API's client that is about parameters of models on devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from edgekit.client.connection import Connection
from edgekit.client.wire.parameters import NewParameters, ParametersView


class ParameterCalls:
    """Methods of FleetClient; not for use alone."""

    _connection: Connection

    def set_parameters(self, device: str, model: str, values: Mapping[str, Any]) -> ParametersView:
        """Set all parameters of a model on a device; none for the defaults."""
        body = NewParameters(values=dict(values))
        return self._connection.ask(ParametersView, "PUT", _path(device, model), body=body)

    def parameters(self, device: str) -> list[ParametersView]:
        """Return what is set for each model, and what the device made of it."""
        return self._connection.ask(list[ParametersView], "GET", _path(device))

    def parameter_history(self, device: str, model: str) -> list[ParametersView]:
        """Return every version, oldest first."""
        return self._connection.ask(list[ParametersView], "GET", _path(device, model))

    def parameters_back(self, device: str, model: str) -> ParametersView:
        """Set again what held before the present version."""
        return self._connection.ask(ParametersView, "POST", f"{_path(device, model)}/back")


def _path(device: str, model: str = "") -> str:
    path = f"/api/v1/devices/{quote(device, safe='')}/parameters"
    return f"{path}/{quote(model, safe='')}" if model else path
