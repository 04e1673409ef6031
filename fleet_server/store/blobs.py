"""Bundles in a folder, by digest: uploaded beside, verified, then renamed into place.

<folder>/ab/abcd...        whole blobs
<folder>/incoming/abcd...  what arrived so far of others
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from edgekit.bundle import file_digest
from edgekit.durable import sync
from edgekit.errors import ConflictError, FormatError, StorageError
from fleet_server.domain.garbage import Stored


class FolderBlobs:
    """Blobs below one folder. Several processes may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            (folder / "incoming").mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot be made ({error.strerror})", where=str(folder)) from error

    def find(self, sha256: str) -> Path | None:
        """Return where a whole blob lies."""
        path = self._place(sha256)
        return path if path.is_file() else None

    def received(self, sha256: str) -> int:
        """Return how many bytes of an unfinished upload are here."""
        part = self._part(sha256)
        return part.stat().st_size if part.is_file() else 0

    def open_part(self, sha256: str, *, offset: int) -> BinaryIO:
        """Open an unfinished upload for writing at `offset`; what lay behind it is dropped.

        Raises:
            ConflictError: Fewer bytes than `offset` are here.
            StorageError: It cannot be written.
        """
        if offset > self.received(sha256):
            raise ConflictError(f"only {self.received(sha256)} bytes are here", where=sha256)
        part = self._part(sha256)
        try:
            file = part.open("r+b" if part.exists() else "w+b")
            file.truncate(offset)
            file.seek(offset)
        except OSError as error:
            raise StorageError(f"cannot be written ({error.strerror})", where=str(part)) from error
        return file

    def finish(self, sha256: str) -> Path:
        """Verify an upload and put it in its place; durable on return.

        Raises:
            FormatError: The bytes have another digest; they are dropped.
            StorageError: It cannot be written.
        """
        part, place = self._part(sha256), self._place(sha256)
        try:
            if file_digest(part) != sha256:
                part.unlink()
                raise FormatError("the bytes that arrived have another digest", where=sha256)
            place.parent.mkdir(mode=0o700, exist_ok=True)
            sync(part)
            part.replace(place)
            sync(place.parent)
            sync(self._folder)
        except OSError as error:
            raise StorageError(f"cannot be written ({error.strerror})", where=str(place)) from error
        return place

    def all(self) -> Iterator[Stored]:
        """Yield every whole blob, by digest."""
        for path in sorted(self._folder.glob("??/" + "[0-9a-f]" * 64)):
            found = path.stat()
            stored_at = datetime.fromtimestamp(found.st_mtime, UTC)
            yield Stored(digest=path.name, size=found.st_size, stored_at=stored_at)

    def delete(self, sha256: str) -> None:
        """Take a blob away; who is reading it reads on.

        Raises:
            StorageError: It cannot be taken away.
        """
        place = self._place(sha256)
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot be taken away ({error.strerror})", where=str(place)
            ) from error

    def drop_unfinished(self, *, before: datetime) -> int:
        """Take away uploads that were last written before a time; returns their bytes."""
        dropped = 0
        for part in (self._folder / "incoming").iterdir():
            found = part.stat()
            if found.st_mtime < before.timestamp():
                part.unlink(missing_ok=True)
                dropped += found.st_size
        return dropped

    def _place(self, sha256: str) -> Path:
        return self._folder / _checked(sha256)[:2] / sha256

    def _part(self, sha256: str) -> Path:
        return self._folder / "incoming" / _checked(sha256)


def _checked(sha256: str) -> str:
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise FormatError("is no SHA-256 in lower case hexadecimal digits", where=sha256[:80])
    return sha256
