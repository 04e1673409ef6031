"""Tokens of people: made, digested, looked up by digest, never stored or logged."""

from __future__ import annotations

import hashlib
import secrets


def new_token() -> str:
    """Return 256 random bits as 43 characters."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Return what is stored of a token; a plain hash is enough for 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
