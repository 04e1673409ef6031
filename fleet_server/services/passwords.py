"""Passwords, stretched by Argon2id with the library's defaults (RFC 9106, low memory).

One check at a time: each takes 64 MiB, and a flood of them must not take the server's memory.
"""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from edgekit.errors import UsageError

MIN_CHARACTERS, MAX_CHARACTERS = 12, 1024
_hasher = PasswordHasher()
_one = threading.Lock()
_NOBODY = _hasher.hash("nobody has this password")


def hash_password(password: str) -> str:
    """Return what is stored of a password.

    Raises:
        UsageError: It is too short, or far too long.
    """
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise UsageError(f"a password has at least {MIN_CHARACTERS} characters")
    with _one:
        return _hasher.hash(password.encode("utf-8", "surrogatepass"))


def verify_password(stored: str, password: str) -> bool:
    """Say whether a password is the stored one; takes as long when there is none."""
    with _one:
        try:
            _hasher.verify(stored or _NOBODY, password.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False
    return bool(stored)
