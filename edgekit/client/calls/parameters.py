"""Calls about parameters of models on devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from edgekit.client.calls.base import Calls, device_path
from edgekit.client.wire.parameters import NewParameters, ParametersView


class ParameterCalls(Calls):
    """Calls about parameters of models on devices."""

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
    path = f"{device_path(device)}/parameters"
    return f"{path}/{quote(model, safe='')}" if model else path
