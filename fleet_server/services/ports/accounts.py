"""What the use cases need of storage for accounts, tokens, the audit log and kept answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fleet_server.services.records.accounts import (
    AccountRecord,
    AuditRecord,
    KeptAnswer,
    TokenRecord,
)


class Accounts(Protocol):
    """Accounts and their tokens."""

    def get(self, name: str) -> AccountRecord | None:
        """Return an account."""
        ...

    def put(self, account: AccountRecord) -> None:
        """Add or replace an account."""
        ...

    def all(self) -> Sequence[AccountRecord]:
        """Return every account, by name."""
        ...

    def token(self, token_sha256: str) -> TokenRecord | None:
        """Return a token by its digest."""
        ...

    def put_token(self, token: TokenRecord) -> None:
        """Add or replace a token."""
        ...

    def tokens(self) -> Sequence[TokenRecord]:
        """Return every token, oldest first."""
        ...


class Audit(Protocol):
    """Who did what; only grows."""

    def append(self, record: AuditRecord) -> None:
        """Add a line."""
        ...

    def page(self, *, after: int, limit: int) -> Sequence[AuditRecord]:
        """Return lines behind a number, oldest first."""
        ...


class KeptAnswers(Protocol):
    """Answers to requests that may be sent again."""

    def get(self, key_sha256: str) -> KeptAnswer | None:
        """Return what is known of a key."""
        ...

    def begin(self, answer: KeptAnswer) -> None:
        """Say that a request is being answered."""
        ...

    def finish(self, key_sha256: str, *, status: int, body: str) -> None:
        """Keep the answer."""
        ...

    def drop(self, key_sha256: str) -> None:
        """Forget a key."""
        ...

    def forget_before(self, at: datetime) -> None:
        """Delete old answers."""
        ...
