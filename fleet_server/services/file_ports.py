"""What the use cases need of files: bundles and the deltas between them, as small protocols."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol


class DeltaFiles(Protocol):
    """Deltas by their pair of bundles."""

    def find(self, old: str, new: str) -> Path | None:
        """Return where a delta lies; an empty file means that it was not worth it."""
        ...

    def put(self, old: str, new: str, data: bytes) -> None:
        """Keep a delta."""
        ...


class Blobs(Protocol):
    """Bundles by digest: whole or not there."""

    def find(self, sha256: str) -> Path | None:
        """Return where a whole blob lies."""
        ...

    def received(self, sha256: str) -> int:
        """Return how many bytes of an unfinished upload are here."""
        ...

    def open_part(self, sha256: str, *, offset: int) -> BinaryIO:
        """Open an unfinished upload for writing."""
        ...

    def finish(self, sha256: str) -> Path:
        """Verify an upload and put it in its place."""
        ...
