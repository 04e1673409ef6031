"""Accounts, tokens, the audit log and kept answers in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from fleet_server.domain.access import Role
from fleet_server.services.records.accounts import (
    AccountRecord,
    AuditRecord,
    KeptAnswer,
    TokenRecord,
)
from fleet_server.store import schema
from fleet_server.store.dialects import insert_or_ignore, insert_or_update


class SqlAccounts:
    """Accounts and their tokens within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> AccountRecord | None:
        """Return an account."""
        query = select(schema.accounts).where(schema.accounts.c.name == name)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else AccountRecord(**{**row, "role": Role(row["role"])})

    def put(self, account: AccountRecord) -> None:
        """Add an account or replace it."""
        row = {**asdict(account), "role": account.role.value}
        insert_or_update(self._connection, schema.accounts, row)

    def all(self) -> Sequence[AccountRecord]:
        """Return every account, by name."""
        query = select(schema.accounts).order_by(schema.accounts.c.name)
        rows = self._connection.execute(query).mappings()
        return [AccountRecord(**{**row, "role": Role(row["role"])}) for row in rows]

    def token(self, token_sha256: str) -> TokenRecord | None:
        """Return a token by its digest."""
        table = schema.api_tokens
        query = select(table).where(table.c.token_sha256 == token_sha256)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else TokenRecord(**{**row, "role": Role(row["role"])})

    def put_token(self, token: TokenRecord) -> None:
        """Add a token or replace it."""
        row = {**asdict(token), "role": token.role.value}
        insert_or_update(self._connection, schema.api_tokens, row)

    def tokens(self) -> Sequence[TokenRecord]:
        """Return every token, oldest first."""
        table = schema.api_tokens
        rows = self._connection.execute(select(table).order_by(table.c.created_at, table.c.id))
        return [TokenRecord(**{**row, "role": Role(row["role"])}) for row in rows.mappings()]


class SqlAudit:
    """The audit log within one transaction; the database itself refuses to change a line."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, record: AuditRecord) -> None:
        """Add a line."""
        row = {name: value for name, value in asdict(record).items() if name != "id"}
        self._connection.execute(insert(schema.audit).values(row))

    def page(self, *, after: int, limit: int) -> Sequence[AuditRecord]:
        """Return lines behind a number, oldest first."""
        table = schema.audit
        query = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
        return [AuditRecord(**row) for row in self._connection.execute(query).mappings()]


class SqlKeptAnswers:
    """Answers to requests with an Idempotency-Key within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, key_sha256: str) -> KeptAnswer | None:
        """Return what is known of a key."""
        table = schema.kept_answers
        query = select(table).where(table.c.key_sha256 == key_sha256)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else KeptAnswer(**row)

    def begin(self, answer: KeptAnswer) -> None:
        """Say that a request is being answered."""
        row: dict[str, Any] = asdict(replace(answer, status=None, body=""))
        insert_or_ignore(self._connection, schema.kept_answers, [row])

    def finish(self, key_sha256: str, *, status: int, body: str) -> None:
        """Keep the answer."""
        table = schema.kept_answers
        self._connection.execute(
            update(table).where(table.c.key_sha256 == key_sha256).values(status=status, body=body)
        )

    def drop(self, key_sha256: str) -> None:
        """Forget a key, so that the request may be sent again."""
        table = schema.kept_answers
        self._connection.execute(delete(table).where(table.c.key_sha256 == key_sha256))

    def forget_before(self, at: datetime) -> None:
        """Delete old answers."""
        table = schema.kept_answers
        self._connection.execute(delete(table).where(table.c.at < at))
