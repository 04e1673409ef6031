"""What is stored of A/B experiments."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_server.domain.experiment import Experiment
from fleet_server.domain.selector import EVERYTHING, Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRecord:
    """An experiment, which devices it is for, and the rollout that promotes its winner."""

    experiment: Experiment
    selector: Selector = EVERYTHING
    rollout: str = ""
