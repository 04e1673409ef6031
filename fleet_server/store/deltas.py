"""Deltas in a folder: one file a pair of bundles, empty when a delta was not worth it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgekit.durable import make_folder, write_durably


class FolderDeltas:
    """Deltas below one folder. Several processes may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, old: str, new: str) -> Path | None:
        """Return where the delta between two bundles (SHA-256) lies, or None if it was not made."""
        path = self._folder / f"{old}-{new}"
        return path if len(old) == len(new) == 64 and old.isalnum() and path.is_file() else None

    def put(self, old: str, new: str, data: bytes) -> None:
        """Keep a delta; durable on return.

        Raises:
            StorageError: It cannot be written.
        """
        make_folder(self._folder, mode=0o700)
        write_durably(self._folder / f"{old}-{new}", data)

    def all(self) -> Iterator[tuple[str, str, int]]:
        """Yield every delta: base, target, bytes."""
        for path in sorted(self._folder.glob(f"{'[0-9a-f]' * 64}-{'[0-9a-f]' * 64}")):
            old, _, new = path.name.partition("-")
            yield old, new, path.stat().st_size

    def delete(self, old: str, new: str) -> None:
        """Forget a delta; who is reading it reads on."""
        (self._folder / f"{old}-{new}").unlink(missing_ok=True)
