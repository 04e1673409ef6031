"""Calls about people and CI: accounts, tokens, the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from edgekit.client.calls.base import API, PAGE_LINES, Calls
from edgekit.client.wire.accounts import (
    AccountChange,
    AccountView,
    AuditLine,
    MadeToken,
    NewAccount,
    NewToken,
    TokenView,
)


class AccountCalls(Calls):
    """Calls about people and CI: accounts, tokens, the audit log."""

    def create_account(self, account: NewAccount) -> AccountView:
        """Add an account."""
        return self._connection.ask(AccountView, "POST", f"{API}/accounts", body=account)

    def accounts(self) -> list[AccountView]:
        """Return every account."""
        return self._connection.ask(list[AccountView], "GET", f"{API}/accounts")

    def change_account(self, name: str, change: AccountChange) -> AccountView:
        """Change what is not None of an account."""
        path = f"{API}/accounts/{quote(name, safe='')}"
        return self._connection.ask(AccountView, "PATCH", path, body=change)

    def create_token(self, token: NewToken) -> MadeToken:
        """Make a token for an account; it is shown only here."""
        return self._connection.ask(MadeToken, "POST", f"{API}/tokens", body=token)

    def tokens(self) -> list[TokenView]:
        """Return every token, without what would let anybody use it."""
        return self._connection.ask(list[TokenView], "GET", f"{API}/tokens")

    def revoke_token(self, token_id: str) -> TokenView:
        """End a token's life."""
        path = f"{API}/tokens/{quote(token_id, safe='')}"
        return self._connection.ask(TokenView, "DELETE", path)

    def audit(self, *, after: int = 0) -> Iterator[AuditLine]:
        """Yield who did what from where behind a line, oldest first, page by page."""
        query: dict[str, str | int] = {"limit": PAGE_LINES}
        while page := self._connection.ask(
            list[AuditLine], "GET", f"{API}/audit", query={**query, "after": after}
        ):
            yield from page
            after = page[-1].id
