"""What the use cases need of storage for parameters of models on devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from fleet_server.services.records.parameters import ParametersRecord


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

    def counts(self, device_ids: Iterable[str]) -> Mapping[str, int]:
        """Return how many versions there are, by device: another number after each change."""
        ...
