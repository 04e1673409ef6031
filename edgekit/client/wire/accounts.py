"""Wire types of people and CI: accounts, tokens and the audit log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """POST /accounts.

    Attributes:
        role: "viewer", "operator", "publisher" or "admin".
        password: At least 12 characters; empty for one that only has tokens.
    """

    name: str
    role: str
    password: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """PATCH /accounts/{name}: what is None stays."""

    role: str | None = None
    disabled: bool | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """GET /accounts."""

    name: str
    role: str
    disabled: bool
    has_password: bool
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """POST /tokens: a token that can do at most what its account can.

    Attributes:
        account: Whose it is.
        role: What it is for.
        life_s: How long, seconds, up to 366 days.
        note: What it is for, in words.
    """

    account: str
    role: str
    life_s: float = 90 * 86400.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """GET /tokens: everything of a token but the token."""

    id: str
    account: str
    role: str
    note: str
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeToken:
    """Answer to POST /tokens and POST /session: the token, shown once."""

    token: str
    view: TokenView


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """POST /session: a name and a password for a token of half a day."""

    name: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """GET /audit: a request that may change something (`status` None), or its answer.

    Attributes:
        id: Grows by time; `after` of the next page.
        request: Id that both lines of a request share.
        token: Id of the token that was used.
        address: Where it came from.
        action: Method and path.
    """

    id: int
    at: str
    request: str
    account: str
    token: str
    address: str
    action: str
    status: int | None = None
