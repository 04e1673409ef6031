"""Who uses which bundle, and what was taken away, in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from edgekit.manifest import Lineage
from fleet_server.domain.garbage import COMMITS, Use
from fleet_server.domain.goal import ReleaseState
from fleet_server.services.fleet_plan import KEPT_STATES
from fleet_server.services.records.benchmarks import BenchmarkState
from fleet_server.services.records.devices import DeviceState
from fleet_server.store import schema
from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import collected as _collected


class SqlBundles:
    """Bundles within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def use(self) -> Use:
        """Return who needs which bundles."""
        quick = self.named(())
        return Use(
            named=quick.named,
            listed=quick.listed,
            going=quick.going,
            measured=quick.measured,
            running=self._running(),
            committed=self._digests(_last_commits()),
        )

    def named(self, digests: Iterable[str]) -> Use:
        """Return of these bundles, or of all when none is given, who names them."""
        some = list(digests)
        benchmarks, deployments, variants = schema.benchmarks, schema.deployments, schema.variants
        states = select(variants.c.digest).join(
            schema.releases, schema.releases.c.id == variants.c.release
        )
        listed = schema.releases.c.state == ReleaseState.LISTED.value
        waiting = benchmarks.c.state == BenchmarkState.WAITING
        going = select(deployments.c.digest).where(deployments.c.open)
        return Use(
            named=self._digests(_of(states, variants, some)),
            listed=self._digests(_of(states.where(listed), variants, some)),
            going=self._digests(_of(going, deployments, some)),
            measured=self._digests(
                _of(select(benchmarks.c.digest).where(waiting), benchmarks, some)
            ),
        )

    def collected(self, digest: str, lineage: Lineage | None, *, now: datetime) -> None:
        """Remember what a bundle was made of that is about to go."""
        row = {"digest": digest, "at": now, "lineage": lineage}
        insert_or_update(self._connection, _collected, row)

    def lineage(self, digest: str) -> Lineage | None:
        """Return what a bundle was made of that is gone; None when nothing is known."""
        query = select(_collected.c.lineage).where(_collected.c.digest == digest)
        found: Lineage | None = self._connection.execute(query).scalar()
        return found

    def _digests(self, query: Select[Any]) -> frozenset[str]:
        return frozenset(self._connection.execute(query.distinct()).scalars())

    def _running(self) -> frozenset[str]:
        """Devices run few different sets of bundles: the sets are read, not the devices."""
        table = schema.devices
        query = select(table.c.running).where(table.c.state != DeviceState.REVOKED).distinct()
        found = self._connection.execute(query).scalars()
        return frozenset(digest for running in found for digest in running.values())


def _of(query: Select[Any], table: Any, digests: list[str]) -> Select[Any]:  # noqa: ANN401 (a table has no typed columns)
    return query.where(table.c.digest.in_(digests)) if digests else query


def _last_commits() -> Select[Any]:
    deployments, devices = schema.deployments, schema.devices
    place = func.row_number().over(
        partition_by=(deployments.c.device, deployments.c.model),
        order_by=deployments.c.action.desc(),
    )
    kept = (
        select(deployments.c.digest, place.label("place"))
        .join(devices, devices.c.id == deployments.c.device)
        .where(deployments.c.state.in_([state.value for state in KEPT_STATES]))
        .where(devices.c.state != DeviceState.REVOKED)
        .subquery()
    )
    return select(kept.c.digest).where(kept.c.place <= COMMITS)
