"""Accuracy in the field: labels that come later, joined to answers that devices recorded."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from edgekit.client.wire.field import AccuracyView, LabelsTaken, NewLabels
from edgekit.errors import UsageError
from fleet_server.domain.statistics import wilson
from fleet_server.services.fleet_plan import PlanCache
from fleet_server.services.ports.database import Database

logger = logging.getLogger(__name__)

MAX_LABELS = 10_000
MAX_NAME = 128
ALPHA = 0.025


class FieldService:
    """Takes labels and says how often models were right."""

    def __init__(self, database: Database, plans: PlanCache, *, kept_days: float = 90.0) -> None:
        self._database = database
        self._plans = plans
        self._kept = timedelta(days=kept_days)

    def add(self, wanted: NewLabels, *, now: datetime) -> LabelsTaken:
        """Store labels; durable on return. The same again changes nothing.

        Raises:
            UsageError: Too many at once, or an id or a class that cannot be one.
        """
        if len(wanted.labels) > MAX_LABELS:
            raise UsageError(f"more than {MAX_LABELS} labels at once", where="labels")
        for sample, label in wanted.labels.items():
            if not (0 < len(sample) <= MAX_NAME and 0 < len(label) <= MAX_NAME):
                raise UsageError(f"id and class have 1 to {MAX_NAME} characters", where=sample[:40])
        with self._database.write() as tables:
            tables.field.add_labels(wanted.model, wanted.labels, now=now)
            matched = tables.field.matched(wanted.model, wanted.labels)
        return LabelsTaken(labels=len(wanted.labels), matched=matched)

    def accuracy(self, model: str, version: str = "") -> list[AccuracyView]:
        """Return the accuracy of each release and variant that has labels; of all for ""."""
        with self._database.read() as tables:
            found = tables.field.labelled(model)
            plan = self._plans.get(tables)
        views = []
        for digest, counted in sorted(found.items()):
            known = plan.by_digest.get(digest)
            if known is None or version not in {"", known[0].version}:
                continue
            interval = wilson(counted.right, counted.labelled, alpha=ALPHA)
            views.append(
                AccuracyView(
                    version=known[0].version,
                    variant=known[1].variant,
                    devices=counted.devices,
                    labelled=counted.labelled,
                    right=counted.right,
                    accuracy=interval.share,
                    low=interval.low,
                    high=interval.high,
                )
            )
        return views

    def forget(self, *, now: datetime) -> None:
        """Delete recorded answers that nobody will label any more."""
        with self._database.write() as tables:
            tables.field.forget_before(now - self._kept)
