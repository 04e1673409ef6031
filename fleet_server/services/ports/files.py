"""What the use cases need of files: bundles and the deltas between them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from fleet_server.domain.garbage import Stored


class DeltaFiles(Protocol):
    """Deltas by their pair of bundles."""

    def find(self, old: str, new: str) -> Path | None:
        """Return where a delta lies; an empty file means that it was not worth it."""
        ...

    def put(self, old: str, new: str, data: bytes) -> None:
        """Keep a delta."""
        ...

    def all(self) -> Iterable[tuple[str, str, int]]:
        """Return every delta: base, target, bytes."""
        ...

    def delete(self, old: str, new: str) -> None:
        """Forget a delta; one that is not there is none."""
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

    def all(self) -> Iterable[Stored]:
        """Return every whole blob."""
        ...

    def delete(self, sha256: str) -> None:
        """Take a blob away; one that is not there is gone already."""
        ...

    def drop_unfinished(self, *, before: datetime) -> int:
        """Take away uploads that were last written before a time; returns their bytes."""
        ...
