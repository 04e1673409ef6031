"""Calls about A/B experiments."""

from __future__ import annotations

from urllib.parse import quote

from edgekit.client.calls.base import API, Calls
from edgekit.client.wire.experiments import ExperimentView, NewExperiment, Winner

PATH = f"{API}/experiments"


class ExperimentCalls(Calls):
    """Calls about A/B experiments."""

    def start_experiment(self, wanted: NewExperiment) -> ExperimentView:
        """Hold releases side by side."""
        return self._connection.ask(ExperimentView, "POST", PATH, body=wanted)

    def experiments(self) -> list[ExperimentView]:
        """Return every experiment, oldest first, without what it shows."""
        return self._connection.ask(list[ExperimentView], "GET", PATH)

    def experiment(self, experiment: str) -> ExperimentView:
        """Return an experiment with what it shows."""
        return self._connection.ask(ExperimentView, "GET", _path(experiment))

    def stop_experiment(self, experiment: str) -> ExperimentView:
        """End an experiment."""
        return self._connection.ask(ExperimentView, "POST", f"{_path(experiment)}/stop")

    def promote_winner(self, experiment: str, version: str) -> ExperimentView:
        """End an experiment and bring one of its releases to every matching device."""
        body = Winner(version=version)
        path = f"{_path(experiment)}/promote"
        return self._connection.ask(ExperimentView, "POST", path, body=body)


def _path(experiment: str) -> str:
    return f"{PATH}/{quote(experiment, safe='')}"
