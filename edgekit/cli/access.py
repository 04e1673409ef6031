"""edgekit access: accounts, tokens and the audit log of a fleet server."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit import codec
from edgekit.cli.asking import asks
from edgekit.cli.options import seconds
from edgekit.cli.output import print_table, say, when
from edgekit.client.http import FleetClient
from edgekit.client.wire.accounts import (
    AccountChange,
    AccountView,
    MadeToken,
    NewAccount,
    NewToken,
    TokenView,
)

app = typer.Typer(help="Accounts, tokens and the audit log of a server.")
Name = Annotated[str, typer.Argument(help="Name of the account.")]
Role = Annotated[str, typer.Option(help="viewer, operator, publisher or admin.")]


def _print_added(view: AccountView) -> None:
    say(f"{view.name} is {view.role}; next: edgekit access token {view.name}")


def _print_accounts(accounts: list[AccountView]) -> None:
    print_table(
        ("account", "role", "state", "since"),
        ((a.name, a.role, "disabled" if a.disabled else "", when(a.created_at)) for a in accounts),
    )


def _print_made(made: MadeToken) -> None:
    say(made.token)


def _print_tokens(tokens: list[TokenView]) -> None:
    print_table(
        ("token", "account", "role", "note", "ends", "revoked"),
        ((t.id, t.account, t.role, t.note, when(t.expires_at), when(t.revoked_at)) for t in tokens),
    )


@asks(app, "add", shows=_print_added)
def add_account(
    client: FleetClient,
    name: Name,
    *,
    role: Role = "viewer",
    with_password: Annotated[
        bool, typer.Option("--with-password", help="Ask for a password, to open sessions with.")
    ] = False,
) -> AccountView:
    """Add an account."""
    password = ""
    if with_password:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return client.create_account(NewAccount(name=name, role=role, password=password))


@asks(app, "list", shows=_print_accounts)
def list_accounts(client: FleetClient) -> list[AccountView]:
    """List accounts."""
    return client.accounts()


@asks(app, "disable")
def disable_account(client: FleetClient, name: Name) -> None:
    """Shut an account out, with all of its tokens."""
    client.change_account(name, AccountChange(disabled=True))
    say(f"{name} is shut out")


@asks(app, "token", shows=_print_made)
def make_token(
    client: FleetClient,
    account: Name,
    *,
    role: Role = "",
    life: Annotated[str, typer.Option(help="How long it lives: 90d, 12h.")] = "90d",
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> MadeToken:
    """Make a token for an account and print it; it is shown only now."""
    own = next((a.role for a in client.accounts() if a.name == account), "viewer")
    wanted = NewToken(account=account, role=role or own, life_s=seconds(life), note=note)
    return client.create_token(wanted)


@asks(app, "tokens", shows=_print_tokens)
def list_tokens(client: FleetClient) -> list[TokenView]:
    """List tokens, without what would let anybody use them."""
    return client.tokens()


@asks(app, "revoke")
def revoke_token(
    client: FleetClient,
    token: Annotated[str, typer.Argument(help="Id of the token, from `access tokens`.")],
) -> None:
    """Revoke a token."""
    client.revoke_token(token)
    say(f"{token} is revoked")


@asks(app, "audit")
def export_audit(
    client: FleetClient,
    after: Annotated[int, typer.Option(help="Begin behind this line.")] = 0,
) -> None:
    """Print who did what from where, oldest first, one JSON object a line."""
    for line in client.audit(after=after):
        say(codec.encode(line).decode())
