"""What is stored of people and CI, and what a caller is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fleet_server.domain.access import Permission, Role, allows


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """A person or a machine that may call the management API.

    Attributes:
        password: Argon2id's own text; empty where there is none.
    """

    name: str
    role: Role
    created_at: datetime
    password: str = ""
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """A token of an account; of the token itself only the digest is known.

    Attributes:
        id: Names it in lists and in the audit log.
        role: At most what the account has.
        expires_at: UTC; None only for the one that `server init` wrote.
    """

    id: str
    token_sha256: str
    account: str
    role: Role
    note: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One line of the audit log: a request that may change something, or its answer.

    Attributes:
        id: Grows; 0 before it is stored.
        request: Id that the two lines of a request share, and its log lines.
        address: Where it came from.
        action: Method and path.
        status: HTTP status of the answer; None for the request.
    """

    at: datetime
    request: str
    account: str
    token: str
    address: str
    action: str
    status: int | None = None
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What a request with an Idempotency-Key was answered.

    Attributes:
        status: None while the first one is still being answered.
        body: JSON text.
    """

    key_sha256: str
    request_sha256: str
    at: datetime
    status: int | None = None
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request, after the token was checked."""

    account: str
    token: str
    role: Role

    def may(self, permission: Permission) -> bool:
        """Say whether the token's role allows it."""
        return allows(self.role, permission)
