"""The numbered list of changes.

Numbers follow the order of commits, because a row lock hands them out.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from fleet_server.store.schema import changes, fleet


class SqlChanges:
    """Changes within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.recorded = False

    def record(self, device_id: str | None) -> None:
        """Say that the answer to a device (None: to any device) may be another from now on."""
        number = self._connection.execute(
            update(fleet).values(version=fleet.c.version + 1).returning(fleet.c.version)
        ).scalar_one()
        self._connection.execute(insert(changes).values(version=number, device=device_id))
        self.recorded = True

    def version(self) -> int:
        """Return the number of the latest change."""
        return int(self._connection.execute(select(fleet.c.version)).scalar_one())

    def last_for_all(self) -> int:
        """Return the number of the latest change that concerns every device; 0 for none."""
        query = select(func.max(changes.c.version)).where(changes.c.device.is_(None))
        return int(self._connection.execute(query).scalar() or 0)

    def since(self, version: int) -> Sequence[tuple[int, str | None]]:
        """Return number and device of each change after `version`, in order."""
        rows = self._connection.execute(
            select(changes.c.version, changes.c.device)
            .where(changes.c.version > version)
            .order_by(changes.c.version)
        )
        return [(int(row.version), row.device) for row in rows]

    def forget_before(self, version: int) -> None:
        """Delete changes of single devices below a number; readers further behind start anew."""
        self._connection.execute(
            delete(changes).where(changes.c.version < version, changes.c.device.is_not(None))
        )
