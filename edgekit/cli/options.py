"""Options that several commands share, and what they open. Holds no command."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edgekit.client.http import (
    SERVER_VARIABLE,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    FleetClient,
    read_token,
)
from edgekit.errors import StorageError, UsageError

PASSPHRASE_VARIABLE = "EDGEKIT_PASSPHRASE"  # noqa: S105 (the name of a variable)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Server = Annotated[
    str,
    typer.Option(
        "--server", envvar=SERVER_VARIABLE, help="Address of the fleet server.", show_default=False
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar=TOKEN_FILE_VARIABLE,
        help=f"File with the admin token ({TOKEN_VARIABLE} holds the token itself).",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Argument(help="Id of the device.")]
Model = Annotated[str, typer.Argument(help="Name of the model.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help=f"File with the passphrase of the keys; else {PASSPHRASE_VARIABLE}, else asked for.",
        show_default=False,
    ),
]


def connect(server: str, token_file: Path | None) -> FleetClient:
    """Return a client for the server that options or environment name.

    Raises:
        UsageError: No server or no token is named.
    """
    if not server:
        raise UsageError("no server is named", todo=f"give --server or set {SERVER_VARIABLE}")
    token = read_token(token_file) if token_file else os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise UsageError("no token is named", todo=f"give --token-file or set {TOKEN_VARIABLE}")
    return FleetClient(server, token)


def passphrase(file: Path | None, *, confirm: bool = False) -> str:
    """Return the passphrase from a file, the environment or the keyboard, in this order.

    Raises:
        StorageError: The file cannot be read.
        UsageError: There is nobody to ask.
    """
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise StorageError(f"cannot read ({error.strerror})", where=str(file)) from error
    if PASSPHRASE_VARIABLE in os.environ:
        return os.environ[PASSPHRASE_VARIABLE]
    if not sys.stdin.isatty():
        raise UsageError(
            "no passphrase is given", todo=f"give --passphrase-file or set {PASSPHRASE_VARIABLE}"
        )
    answer: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)
    return answer


def seconds(text: str) -> float:
    """Read a duration, such as "90s", "30m", "1h" or "2d".

    Raises:
        UsageError: It is none.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no duration", todo="write 90s, 30m, 1h or 2d")
    return float(match[1]) * _UNIT_S[match[2]]


def pairs(words: list[str]) -> dict[str, str]:
    """Read "key=value" words.

    Raises:
        UsageError: A word is no pair.
    """
    split = [word.partition("=") for word in words]
    for word, (key, sign, _) in zip(words, split, strict=True):
        if not sign or not key:
            raise UsageError(f"{word!r} is no pair", todo="write key=value")
    return {key: value for key, _, value in split}


def utc_now() -> datetime:
    """Return the time; commands are a composition root and hand it on as an argument."""
    return datetime.now(UTC)  # noqa: TID251 (composition root)
