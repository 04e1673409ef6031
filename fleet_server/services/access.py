"""Tokens: made, digested, compared in constant time, never stored or logged."""

from __future__ import annotations

import hashlib
import hmac
import secrets

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
