"""The tables of what the field tells and is asked, as a part of one transaction."""

from __future__ import annotations

from typing import Protocol

from fleet_server.services.diagnosis_port import Diagnoses
from fleet_server.services.drift_port import DriftHours
from fleet_server.services.experiment_port import Experiments
from fleet_server.services.field_port import FieldAnswers
from fleet_server.services.parameters_port import DeviceParameters


class FieldTables(Protocol):
    """Experiments, drift, answers, labels, parameters and diagnose bundles."""

    @property
    def diagnoses(self) -> Diagnoses:
        """Diagnose bundles."""
        ...

    @property
    def experiments(self) -> Experiments:
        """A/B experiments."""
        ...

    @property
    def drift(self) -> DriftHours:
        """Drift by the hour."""
        ...

    @property
    def field(self) -> FieldAnswers:
        """Recorded answers and labels."""
        ...

    @property
    def parameters(self) -> DeviceParameters:
        """Parameters of models on devices."""
        ...
