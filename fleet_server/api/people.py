"""Routes of people: accounts, tokens, sessions and the audit log."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from edgekit.client.wire.accounts import (
    AccountChange,
    AccountView,
    AuditLine,
    Login,
    MadeToken,
    NewAccount,
    NewToken,
    TokenView,
)
from edgekit.errors import UsageError
from fleet_server.api.audited import record_login
from fleet_server.api.context import Context, run_in_threadpool
from fleet_server.domain.access import Role
from fleet_server.services.records.accounts import AccountRecord, AuditRecord, TokenRecord

PREFIX = "/api/v1"
_MOST_LINES = 1000
_LOGINS_AT_ONCE = 4


def make_people_router(context: Context) -> APIRouter:
    """Return what administrators do with accounts and tokens."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(context.admin)])
    accounts = context.services.accounts

    @router.post("/accounts")
    def post_account(body: NewAccount) -> AccountView:
        """Add an account."""
        role = _role(body.role)
        return _account(accounts.add(body.name, role, password=body.password, now=context.clock()))

    @router.get("/accounts")
    def get_accounts() -> list[AccountView]:
        """Return every account, by name."""
        return [_account(account) for account in accounts.all()]

    @router.get("/accounts/{name}")
    def get_account(name: str) -> AccountView:
        """Return an account; its tag is what If-Match of a change takes."""
        return _account(accounts.get(name))

    @router.patch("/accounts/{name}")
    def patch_account(name: str, body: AccountChange) -> AccountView:
        """Change the role or the password of an account, disable or enable it."""
        role = None if body.role is None else _role(body.role)
        changed = accounts.change(name, role=role, disabled=body.disabled, password=body.password)
        return _account(changed)

    @router.post("/tokens")
    def post_token(body: NewToken) -> MadeToken:
        """Make a token for an account; it is shown once."""
        if not 0 < body.life_s < float("inf"):
            raise UsageError("life_s must be above 0")
        life = timedelta(seconds=min(body.life_s, 1e9))
        token, record = accounts.new_token(
            body.account, _role(body.role), life=life, note=body.note, now=context.clock()
        )
        return MadeToken(token=token, view=_token(record))

    @router.get("/tokens")
    def get_tokens() -> list[TokenView]:
        """Return every token, oldest first, without what would let anybody use it."""
        return [_token(token) for token in accounts.tokens()]

    @router.delete("/tokens/{token_id}")
    def delete_token(token_id: str) -> TokenView:
        """Revoke a token; it stops working in every process with its next request."""
        return _token(accounts.revoke(token_id, now=context.clock()))

    @router.get("/audit")
    def get_audit(
        after: Annotated[int, Query(ge=0, lt=1 << 62)] = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST_LINES)] = 100,
    ) -> list[AuditLine]:
        """Return who did what from where, oldest first, behind line `after`."""
        return [_line(record) for record in accounts.audit(after=after, limit=limit)]

    return router


def make_session_router(context: Context) -> APIRouter:
    """Return the one route that takes a password."""
    router = APIRouter(prefix=PREFIX)
    accounts = context.services.accounts
    few = asyncio.Semaphore(_LOGINS_AT_ONCE)

    @router.post("/session")
    async def post_session(request: Request, body: Login) -> MadeToken:
        """Give a token of half a day to somebody with a password; 429 after wrong ones."""
        address, now = context.caller_address(request), context.clock()

        def log_in() -> tuple[str, TokenRecord]:
            accounts.refuse_guessing(body.name, address=address, now=now)
            record_login(accounts, request, body.name, address=address, at=now)
            return accounts.log_in(body.name, body.password, address=address, now=now)

        async with few:
            token, record = await run_in_threadpool(log_in)
        return MadeToken(token=token, view=_token(record))

    return router


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError as error:
        known = ", ".join(role.value for role in Role)
        raise UsageError("there is no such role", todo=f"known: {known}") from error


def _account(record: AccountRecord) -> AccountView:
    return AccountView(
        name=record.name,
        role=record.role.value,
        disabled=record.disabled,
        has_password=bool(record.password),
        created_at=record.created_at.isoformat(),
    )


def _token(record: TokenRecord) -> TokenView:
    return TokenView(
        id=record.id,
        account=record.account,
        role=record.role.value,
        note=record.note,
        created_at=record.created_at.isoformat(),
        expires_at=record.expires_at.isoformat() if record.expires_at else None,
        revoked_at=record.revoked_at.isoformat() if record.revoked_at else None,
    )


def _line(record: AuditRecord) -> AuditLine:
    return AuditLine(
        id=record.id,
        at=record.at.isoformat(),
        request=record.request,
        account=record.account,
        token=record.token,
        address=record.address,
        action=record.action,
        status=record.status,
    )
