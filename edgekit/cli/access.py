"""edgekit access: accounts, tokens and the audit log of a fleet server."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit import codec
from edgekit.cli.options import AsJson, Server, TokenFile, connect, seconds
from edgekit.cli.output import print_json, print_table, say, when
from edgekit.client.wire.accounts import AccountChange, NewAccount, NewToken

app = typer.Typer(help="Accounts, tokens and the audit log of a server.")
Name = Annotated[str, typer.Argument(help="Name of the account.")]
Role = Annotated[str, typer.Option(help="viewer, operator, publisher or admin.")]


@app.command("add")
def add_account(
    name: Name,
    *,
    role: Role = "viewer",
    with_password: Annotated[
        bool, typer.Option("--with-password", help="Ask for a password for the console.")
    ] = False,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Add an account."""
    password = ""
    if with_password:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    with connect(server, token_file) as client:
        view = client.create_account(NewAccount(name=name, role=role, password=password))
    if as_json:
        return print_json(view)
    return say(f"{view.name} is {view.role}; next: edgekit access token {view.name}")


@app.command("list")
def list_accounts(
    server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """List accounts."""
    with connect(server, token_file) as client:
        accounts = client.accounts()
    if as_json:
        return print_json(accounts)
    rows = (
        (a.name, a.role, "disabled" if a.disabled else "", when(a.created_at)) for a in accounts
    )
    return print_table(("account", "role", "state", "since"), rows)


@app.command("disable")
def disable_account(name: Name, server: Server = "", token_file: TokenFile = None) -> None:
    """Shut an account out, with all of its tokens."""
    with connect(server, token_file) as client:
        client.change_account(name, AccountChange(disabled=True))
    say(f"{name} is shut out")


@app.command("token")
def make_token(
    account: Name,
    *,
    role: Role = "",
    life: Annotated[str, typer.Option(help="How long it lives: 90d, 12h.")] = "90d",
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a token for an account and print it; it is shown only now."""
    with connect(server, token_file) as client:
        own = next((a.role for a in client.accounts() if a.name == account), "viewer")
        wanted = NewToken(account=account, role=role or own, life_s=seconds(life), note=note)
        made = client.create_token(wanted)
    return print_json(made) if as_json else say(made.token)


@app.command("tokens")
def list_tokens(server: Server = "", token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List tokens, without what would let anybody use them."""
    with connect(server, token_file) as client:
        tokens = client.tokens()
    if as_json:
        return print_json(tokens)
    rows = (
        (t.id, t.account, t.role, t.note, when(t.expires_at), when(t.revoked_at)) for t in tokens
    )
    return print_table(("token", "account", "role", "note", "ends", "revoked"), rows)


@app.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="Id of the token, from `access tokens`.")],
    server: Server = "",
    token_file: TokenFile = None,
) -> None:
    """Revoke a token."""
    with connect(server, token_file) as client:
        client.revoke_token(token)
    say(f"{token} is revoked")


@app.command("audit")
def export_audit(
    after: Annotated[int, typer.Option(help="Begin behind this line.")] = 0,
    server: Server = "",
    token_file: TokenFile = None,
) -> None:
    """Print who did what from where, oldest first, one JSON object a line."""
    with connect(server, token_file) as client:
        for line in client.audit(after=after):
            say(codec.encode(line).decode())
