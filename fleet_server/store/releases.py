"""Releases in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from edgekit.errors import ConflictError
from fleet_server.domain.goal import ReleaseState
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.store import schema

_VARIANT_FIELDS = tuple(field.name for field in fields(VariantRecord))


class SqlReleases:
    """Releases within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, model: str, version: str) -> ReleaseRecord | None:
        """Return a release."""
        table = schema.releases
        query = select(table).where(table.c.model == model, table.c.version == version)
        rows = self._connection.execute(query).all()
        return next(iter(self._with_variants(rows)), None)

    def add(self, release: ReleaseRecord) -> None:
        """Add a release with its variants.

        Raises:
            ConflictError: There is one of that version.
        """
        values = {
            "model": release.model,
            "version": release.version,
            "state": release.state.value,
            "published_at": release.published_at,
        }
        try:
            made = self._connection.execute(insert(schema.releases).values(values))
        except IntegrityError as error:
            raise ConflictError(
                "is published already", where=f"{release.model} {release.version}"
            ) from error
        key = made.inserted_primary_key
        assert key is not None  # noqa: S101 (a single insert has one)
        rows = [
            {"release": key[0], **{name: getattr(v, name) for name in _VARIANT_FIELDS}}
            for v in release.variants
        ]
        self._connection.execute(insert(schema.variants), rows)

    def set_state(self, model: str, version: str, state: ReleaseState) -> None:
        """Change the state of a release."""
        table = schema.releases
        self._connection.execute(
            update(table)
            .where(table.c.model == model, table.c.version == version)
            .values(state=state.value)
        )

    def lists(self, digest: str) -> bool:
        """Say whether a listed release has a bundle of that digest."""
        releases, variants = schema.releases, schema.variants
        query = (
            select(releases.c.id)
            .join(variants, variants.c.release == releases.c.id)
            .where(variants.c.digest == digest, releases.c.state == ReleaseState.LISTED.value)
            .limit(1)
        )
        return self._connection.execute(query).first() is not None

    def all(self) -> Sequence[ReleaseRecord]:
        """Return every release, oldest first."""
        return self.page(after=None, limit=None)

    def page(self, *, after: tuple[str, str] | None, limit: int | None) -> Sequence[ReleaseRecord]:
        """Return releases behind a model's version, oldest first."""
        table = schema.releases
        query = select(table).order_by(table.c.id).limit(limit)
        if after is not None:
            known = table.alias()
            behind = select(known.c.id).where(
                known.c.model == after[0], known.c.version == after[1]
            )
            query = query.where(table.c.id > behind.scalar_subquery())
        return self._with_variants(self._connection.execute(query).all(), all_of_them=limit is None)

    def _with_variants(
        self, rows: Sequence[Row[Any]], *, all_of_them: bool = False
    ) -> list[ReleaseRecord]:
        table = schema.variants
        query = select(table).order_by(table.c.release, table.c.variant)
        if not all_of_them:
            query = query.where(table.c.release.in_([row.id for row in rows]))
        variants: dict[int, list[VariantRecord]] = defaultdict(list)
        for row in self._connection.execute(query).mappings() if rows else ():
            named = {name: row[name] for name in _VARIANT_FIELDS}
            variants[row["release"]].append(VariantRecord(**named))
        return [
            ReleaseRecord(
                model=row.model,
                version=row.version,
                state=ReleaseState(row.state),
                published_at=row.published_at,
                variants=tuple(variants[row.id]),
            )
            for row in rows
        ]
