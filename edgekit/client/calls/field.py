"""Calls about what the field tells."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from edgekit.client.calls.base import API, Calls
from edgekit.client.wire.field import AccuracyView, DriftView, LabelsTaken, NewLabels


class FieldCalls(Calls):
    """Calls about what the field tells."""

    def add_labels(self, model: str, labels: Mapping[str, str]) -> LabelsTaken:
        """Say what samples really showed: id of the request to class."""
        body = NewLabels(model=model, labels=dict(labels))
        return self._connection.ask(LabelsTaken, "POST", f"{API}/labels", body=body)

    def accuracy(self, model: str, version: str = "") -> list[AccuracyView]:
        """Return the accuracy in the field of each release and variant that has labels."""
        path = f"{API}/labels/{quote(model, safe='')}"
        return self._connection.ask(
            list[AccuracyView], "GET", path, query={"version": version} if version else None
        )

    def drift(self, model: str = "") -> list[DriftView]:
        """Return what drifted on the last day, of one model or of all."""
        query = {"model": model} if model else None
        return self._connection.ask(list[DriftView], "GET", f"{API}/drift", query=query)
