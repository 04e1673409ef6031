"""Deltas in a folder: one file a pair of bundles, empty when a delta was not worth it."""

from __future__ import annotations

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
