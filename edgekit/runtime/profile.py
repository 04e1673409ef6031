"""The seam of runtimes that can say where the time goes, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgekit.runtime.base import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """Time that one node of the model takes.

    Attributes:
        name: Of the node, as the runtime calls it after its own optimizations.
        kind: Its operator, such as "Conv".
        median_ms: Of one inference.
    """

    name: str
    kind: str
    median_ms: float


@runtime_checkable
class Profiler(Protocol):
    """A runtime with a profile."""

    def profile(
        self, model: Path, inputs: Sequence[Sequence[Tensor]], *, threads: int, runs: int
    ) -> tuple[OperatorTime, ...]:
        """Run a model and return its operators in the order in which they run.

        Measuring each operator costs time of its own: the sum is more than one inference.

        Raises:
            RuntimeFailedError: The runtime refuses the file or gives no readable profile.
        """
