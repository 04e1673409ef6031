"""Tokens: made, digested, compared in constant time, never stored or logged."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime

from fleet_server.services.errors import UnknownCallerError
from fleet_server.services.ports import Database
from fleet_server.services.records import DeviceRecord


def new_token() -> str:
    """Return 256 random bits as 43 characters."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Return what is stored of a token; a plain hash is enough for 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def authenticate_device(database: Database, device_id: str, token: str) -> DeviceRecord:
    """Return the device if the token is its own.

    Raises:
        UnknownCallerError: No such device, or another token; the two look the same.
    """
    with database.read() as tables:
        device = tables.devices.get(device_id)
    known = device.token_sha256 if device else ""
    if not hmac.compare_digest(known, digest_of(token)) or device is None:
        raise UnknownCallerError("unknown device or token")
    return device


def authenticate_admin(database: Database, token: str) -> str:
    """Return the administrator's name.

    Raises:
        UnknownCallerError: The token is not one of an administrator.
    """
    with database.read() as tables:
        name = tables.tokens.admin(digest_of(token))
    if name is None:
        raise UnknownCallerError(
            "the token is not known here", todo="use the one that `server init` wrote"
        )
    return name


def add_admin(database: Database, name: str, *, now: datetime) -> str:
    """Make a token for an administrator; returns it, shown once."""
    token = new_token()
    with database.write() as tables:
        tables.tokens.put_admin(digest_of(token), name, now=now)
    return token
