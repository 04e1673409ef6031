"""Signed metadata and sealed keys in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import online_keys, trust_files


class SqlTrustFiles:
    """Metadata by file name within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> bytes | None:
        """Return a file; None if there is none."""
        query = select(trust_files.c.body).where(trust_files.c.name == name)
        body = self._connection.execute(query).scalar()
        return None if body is None else str(body).encode()

    def put(self, name: str, data: bytes) -> None:
        """Add or replace a file."""
        insert_or_update(self._connection, trust_files, {"name": name, "body": data.decode()})

    def names(self, ending: str) -> Sequence[str]:
        """Return the names that end so."""
        name = trust_files.c.name
        query = select(name).where(name.endswith(ending, autoescape=True))
        return list(self._connection.execute(query).scalars())


class SqlOnlineKeys:
    """The server's keys, sealed, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> Mapping[str, bytes]:
        """Return the sealed keys by role; empty before the first."""
        rows = self._connection.execute(select(online_keys.c.role, online_keys.c.pem))
        return {row.role: str(row.pem).encode() for row in rows}

    def put(self, pems: Mapping[str, bytes]) -> None:
        """Add or replace keys."""
        for role, pem in pems.items():
            insert_or_update(self._connection, online_keys, {"role": role, "pem": pem.decode()})
