"""What a device knows about a target after verification, and the check of the file itself.

Standard library only: the agent's main process imports this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from edgekit.errors import StorageError
from edgekit.trust.reasons import Reason, UntrustedError

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInfo:
    """A target that trusted metadata lists: made by verification only.

    Attributes:
        path: Target path, `models/<model>/<version>/<variant>.bundle`.
        length: Size in bytes.
        sha256: Digest of the whole file, 64 lower case hexadecimal digits.
        custom: Signed data about the target: model, version, variant and what it requires.
    """

    path: str
    length: int
    sha256: str
    custom: Mapping[str, Any] = field(default_factory=dict)


def verify_file(path: Path, info: TargetInfo) -> None:
    """Check that the file is, byte for byte, the one that was signed.

    Reads in pieces of 1 MiB and stops one byte after the expected length.

    Raises:
        UntrustedError: Length or digest differ (`mismatch`).
        StorageError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            length, digest = _measure(file, limit=info.length)
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if length != info.length:
        more = "more than" if length > info.length else f"{length} of"
        raise UntrustedError(
            Reason.MISMATCH, f"has {more} the {info.length} bytes that were signed", where=str(path)
        )
    if digest != info.sha256:
        raise UntrustedError(
            Reason.MISMATCH,
            f"has sha256 {digest[:12]}..., signed was {info.sha256[:12]}...",
            where=str(path),
        )


def _measure(file: IO[bytes], *, limit: int) -> tuple[int, str]:
    """Return length and digest; reads at most `limit` + 1 bytes."""
    digest, length = hashlib.sha256(), 0
    while length <= limit and (chunk := file.read(min(_CHUNK_BYTES, limit + 1 - length))):
        digest.update(chunk)
        length += len(chunk)
    return length, digest.hexdigest()
