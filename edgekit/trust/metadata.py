"""Reading, writing and checking single TUF metadata files: bytes in, bytes out.

The only place that turns tuf's errors about one file into ours. Does no input or output.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TypeVar

from tuf.api.exceptions import RepositoryError, UnsignedMetadataError

# tuf documents these names here without the form of export that mypy asks for; once is enough.
from tuf.api.metadata import (  # type: ignore[attr-defined]
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from edgekit.trust.reasons import Reason, UntrustedError

__all__ = [
    "DelegatedRole",
    "Delegations",
    "Key",
    "MetaFile",
    "Metadata",
    "Role",
    "Root",
    "Snapshot",
    "TargetFile",
    "Targets",
    "Timestamp",
    "check_alive",
    "check_signed",
    "digest",
    "load",
]

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)


def load(data: bytes, kind: type[T], *, where: str) -> Metadata[T]:
    """Parse metadata and check its type; signatures are not checked here.

    Raises:
        UntrustedError: Not metadata, or metadata of another type (`invalid`).
    """
    try:
        metadata = Metadata[T].from_bytes(data)
    except RepositoryError as error:
        raise UntrustedError(Reason.INVALID, f"not TUF metadata: {error}", where=where) from error
    if not isinstance(metadata.signed, kind):
        found = type(metadata.signed).__name__.lower()
        raise UntrustedError(
            Reason.INVALID, f"is {found} metadata, not {kind.__name__.lower()}", where=where
        )
    return metadata


def check_signed(
    delegator: Root | Targets, role: str, metadata: Metadata[T], *, where: str
) -> None:
    """Check that enough of the keys that `delegator` names for `role` have signed.

    Raises:
        UntrustedError: Too few valid signatures, or the role is not delegated (`unsigned`).
    """
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise UntrustedError(
            Reason.UNSIGNED,
            f"not signed by the keys trusted for {role!r}",
            where=where,
            todo="sign it with the right key",
        ) from error


def check_alive(signed: Signed, *, now: datetime, where: str) -> None:
    """Check the expiry date.

    Raises:
        UntrustedError: It lies at or before `now` (`expired`).
    """
    if signed.is_expired(now):
        raise UntrustedError(
            Reason.EXPIRED, f"expired at {signed.expires:%Y-%m-%d %H:%M} UTC", where=where
        )


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
