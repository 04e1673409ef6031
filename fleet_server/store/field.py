"""Recorded answers and later labels in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, case, delete, func, select

from fleet_server.services.records.field import Labelled
from fleet_server.store.batches import MANY, batched
from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import answers, labels

_A, _L = answers.c, labels.c


class SqlField:
    """Recorded answers and labels within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_labels(self, model: str, labels_by_sample: Mapping[str, str], *, now: datetime) -> None:
        """Add labels, or replace them."""
        for sample, label in labels_by_sample.items():
            row = {"model": model, "sample": sample, "label": label, "at": now}
            insert_or_update(self._connection, labels, row)

    def matched(self, model: str, samples: Iterable[str]) -> int:
        """Count the samples that a device recorded an answer to."""
        count = 0
        for some in batched(samples, MANY):
            query = select(func.count(func.distinct(_A.sample))).where(
                _A.model == model, _A.sample.in_(some)
            )
            count += int(self._connection.execute(query).scalar_one())
        return count

    def labelled(self, model: str, *, since: datetime | None = None) -> Mapping[str, Labelled]:
        """Compare answers (that came after a time) with labels, by digest of the bundle."""
        query = (
            select(
                _A.digest,
                func.count(func.distinct(_A.device)),
                func.count(),
                func.sum(case((_A.label == _L.label, 1), else_=0)),
            )
            .join(labels, (_L.model == _A.model) & (_L.sample == _A.sample))
            .where(_A.model == model)
            .group_by(_A.digest)
        )
        if since is not None:
            query = query.where(_A.at > since)
        return {
            str(digest): Labelled(devices=int(devices), labelled=int(count), right=int(right))
            for digest, devices, count, right in self._connection.execute(query)
        }

    def forget_before(self, at: datetime) -> None:
        """Delete recorded answers that came before a time."""
        self._connection.execute(delete(answers).where(_A.at < at))
