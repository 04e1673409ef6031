"""People and CI: accounts, tokens of limited role and life, passwords, and the audit log.

Only passwords are stretched (Argon2id): a token of 256 random bits needs no more than a hash.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil

from edgekit.errors import ConflictError, RefusedError, UsageError
from fleet_server.domain.access import Role, narrows
from fleet_server.services.errors import GuessingError, NotFoundError, UnknownCallerError
from fleet_server.services.password_guesses import Guesses
from fleet_server.services.passwords import hash_password, verify_password
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.accounts import (
    AccountRecord,
    AuditRecord,
    Caller,
    TokenRecord,
)
from fleet_server.services.tokens import digest_of, new_token

logger = logging.getLogger(__name__)

FIRST_ADMIN = "admin"
MAX_LIFE = timedelta(days=366)
SESSION_LIFE = timedelta(hours=12)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_MAX_NOTE = 256


class AccountService:
    """Makes and checks accounts and tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guesses = Guesses()

    def authenticate(self, token: str, *, now: datetime) -> Caller:
        """Return who a token belongs to.

        Raises:
            UnknownCallerError: It is unknown, expired or revoked, or its account is disabled.
        """
        with self._database.read() as tables:
            found = tables.accounts.token(digest_of(token))
            account = tables.accounts.get(found.account) if found else None
        if found is None or account is None or not _is_alive(found, account, now):
            raise UnknownCallerError(
                "the token is not known here, or its life is over",
                todo="use the one that `server init` wrote, or ask an administrator for one",
            )
        role = found.role if narrows(found.role, account.role) else account.role
        return Caller(account=account.name, token=found.id, role=role)

    def add(self, name: str, role: Role, *, password: str = "", now: datetime) -> AccountRecord:
        """Add an account; durable on return.

        Raises:
            UsageError: The name or the password cannot be used.
            ConflictError: There is one of that name.
        """
        if not _NAME.fullmatch(name):
            raise UsageError("an account's name is letters, digits and . _ @ + -", where=name[:80])
        hashed = hash_password(password) if password else ""
        account = AccountRecord(name=name, role=role, created_at=now, password=hashed)
        with self._database.write() as tables:
            if tables.accounts.get(name) is not None:
                raise ConflictError("there is an account of that name", where=name)
            tables.accounts.put(account)
        return account

    def change(
        self,
        name: str,
        *,
        role: Role | None = None,
        disabled: bool | None = None,
        password: str | None = None,
    ) -> AccountRecord:
        """Change an account; durable on return.

        Raises:
            NotFoundError: There is none.
            ConflictError: Nobody would be left who may administer.
            UsageError: The password cannot be used.
        """
        hashed = None if password is None else hash_password(password)
        with self._database.write() as tables:
            before = tables.accounts.get(name)
            if before is None:
                raise NotFoundError("there is no such account", where=name)
            after = replace(
                before,
                role=before.role if role is None else role,
                disabled=before.disabled if disabled is None else disabled,
                password=before.password if hashed is None else hashed,
            )
            tables.accounts.put(after)
            if not any(_administers(a) for a in tables.accounts.all()):
                raise ConflictError("nobody would be left who may administer", where=name)
        return after

    def get(self, name: str) -> AccountRecord:
        """Return an account.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.read() as tables:
            found = tables.accounts.get(name)
        if found is None:
            raise NotFoundError("there is no such account", where=name[:80])
        return found

    def all(self) -> Sequence[AccountRecord]:
        """Return every account."""
        with self._database.read() as tables:
            return tables.accounts.all()

    def new_token(
        self, account: str, role: Role, *, life: timedelta | None, note: str = "", now: datetime
    ) -> tuple[str, TokenRecord]:
        """Make a token for an account; the token itself is returned only here.

        Args:
            account: Whose it is.
            role: At most the account's own.
            life: How long; None only for the first administrator.
            note: What it is for.
            now: Current time, UTC.

        Raises:
            NotFoundError: There is no such account.
            RefusedError: The role is more than the account's.
            UsageError: The life or the note cannot be used.
        """
        if life is not None and not timedelta() < life <= MAX_LIFE:
            raise UsageError(f"a token lives up to {MAX_LIFE.days} days")
        if len(note) > _MAX_NOTE:
            raise UsageError(f"a note has up to {_MAX_NOTE} characters")
        token = new_token()
        record = TokenRecord(
            id=secrets.token_hex(6),
            token_sha256=digest_of(token),
            account=account,
            role=role,
            note=note,
            created_at=now,
            expires_at=None if life is None else now + life,
        )
        with self._database.write() as tables:
            _check_owner(tables, record)
            tables.accounts.put_token(record)
        return token, record

    def revoke(self, token_id: str, *, now: datetime) -> TokenRecord:
        """End a token's life, in every process from its next request on.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.write() as tables:
            found = next((t for t in tables.accounts.tokens() if t.id == token_id), None)
            if found is None:
                raise NotFoundError("there is no such token", where=token_id[:80])
            if found.revoked_at is None:
                found = replace(found, revoked_at=now)
                tables.accounts.put_token(found)
        return found

    def tokens(self) -> Sequence[TokenRecord]:
        """Return every token, without what would let anybody use it."""
        with self._database.read() as tables:
            return tables.accounts.tokens()

    def refuse_guessing(self, name: str, *, address: str, now: datetime) -> None:
        """Do nothing if a password would be looked at now.

        Raises:
            GuessingError: Too many wrong ones came before, of the name or from the address.
        """
        wait_s = self._guesses.wait_s(_key(name), address, now=now)
        if wait_s > 0:
            raise GuessingError("too many wrong passwords came before", wait_s=ceil(wait_s))

    def log_in(
        self, name: str, password: str, *, address: str = "", now: datetime
    ) -> tuple[str, TokenRecord]:
        """Make a token of half a day for somebody with a password.

        Args:
            name: Of the account.
            password: As typed.
            address: Where it came from.
            now: Current time, UTC.

        Raises:
            UnknownCallerError: Name or password are wrong; the two look and take the same.
            GuessingError: Too many wrong ones came before, of the name or from the address.
        """
        self.refuse_guessing(name, address=address, now=now)
        with self._database.read() as tables:
            account = tables.accounts.get(name)
        matches = verify_password(account.password if account else "", password)
        if account is None or account.disabled or not matches:
            self._guesses.was_wrong(_key(name), address, now=now)
            raise UnknownCallerError("the name or the password is wrong")
        self._guesses.was_right(_key(name), address)
        return self.new_token(name, account.role, life=SESSION_LIFE, note="session", now=now)

    def record(self, line: AuditRecord) -> None:
        """Add a line to the audit log; durable on return."""
        with self._database.append() as tables:
            tables.audit.append(line)

    def audit(self, *, after: int, limit: int) -> Sequence[AuditRecord]:
        """Return lines of the audit log behind a number."""
        with self._database.read() as tables:
            return tables.audit.page(after=after, limit=limit)


def _key(name: str) -> str:
    """Return a key of one size for any text that is given as a name."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _is_alive(token: TokenRecord, account: AccountRecord, now: datetime) -> bool:
    ended = token.expires_at is not None and token.expires_at <= now
    return not (ended or token.revoked_at is not None or account.disabled)


def _administers(account: AccountRecord) -> bool:
    return account.role is Role.ADMIN and not account.disabled


def _check_owner(tables: Tables, token: TokenRecord) -> None:
    owner = tables.accounts.get(token.account)
    if owner is None:
        raise NotFoundError("there is no such account", where=token.account[:80])
    if not narrows(token.role, owner.role):
        raise RefusedError(f"the account is only {owner.role.value}", where=owner.name)
