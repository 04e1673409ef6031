"""The device's trust folder: one index, and generations of metadata files.

    current.json    which generation counts, the digest of each file in it, the last proven time
    gen-<random>/   metadata as tuf's client keeps it: timestamp.json, root_history/N.root.json

tuf's client never fsyncs, and takes an empty cached file for no cached file, which drops the
protection against replay. So a refresh works in a copy; the copy is fsynced, and then the index
is replaced: the single atomic step. A file that is missing or altered stops everything.
Knows nothing of signatures.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from edgekit import codec
from edgekit.durable import sync, write_durably
from edgekit.errors import FormatError, StorageError
from edgekit.trust.metadata import digest
from edgekit.trust.reasons import Reason, UntrustedError

_RESET = "a person must pin the root again at the device"
_ROOTS = "root_history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What counts: written last, atomically.

    Attributes:
        generation: Folder beside the index.
        files: SHA-256 by relative path, of every file in the generation.
        verified_at: Latest time that a verified timestamp proved, UTC; None before the first.
        format_version: Of current.json.
    """

    generation: str
    files: dict[str, str] = field(default_factory=dict)
    verified_at: datetime | None = None
    format_version: str = "1.0"


class TrustCache:
    """Loads, copies and replaces generations of trusted metadata."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index_file = folder / "current.json"

    @property
    def exists(self) -> bool:
        """Whether there is an index, be it damaged or not."""
        return self._index_file.exists()

    def load(self) -> Index:
        """Read the index and compare every file with it.

        Raises:
            UntrustedError: There is none (`unpinned`), or something is altered (`damaged`).
        """
        if not self.exists:
            raise UntrustedError(
                Reason.UNPINNED, "no root of trust", where=str(self.folder), todo="enrol the device"
            )
        try:
            raw = self._index_file.read_bytes()
            index = codec.decode(raw, Index, where=str(self._index_file))
            codec.check_major(index.format_version, 1, where=str(self._index_file))
            for name, expected in index.files.items():
                if digest((self.folder / index.generation / name).read_bytes()) != expected:
                    raise UntrustedError(
                        Reason.DAMAGED, f"{name} was altered", where=str(self.folder), todo=_RESET
                    )
        except (OSError, FormatError) as error:
            raise UntrustedError(
                Reason.DAMAGED, f"cannot be read: {error}", where=str(self.folder), todo=_RESET
            ) from error
        return index

    def newest_root(self, index: Index) -> bytes:
        """Return the root with the highest version."""
        names = [name for name in index.files if name.startswith(f"{_ROOTS}/")]
        newest = max(names, key=lambda name: int(Path(name).name.split(".")[0]))
        return (self.folder / index.generation / newest).read_bytes()

    def begin(self, index: Index | None) -> Path:
        """Return a new folder with a copy of a generation's files; not counted until `commit`.

        Raises:
            StorageError: No room, no permission.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep(index)
            work = Path(tempfile.mkdtemp(prefix="gen-", dir=self.folder))
            (work / _ROOTS).mkdir()
            if index is not None:
                for name in index.files:
                    shutil.copyfile(self.folder / index.generation / name, work / name)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        return work

    def commit(self, work: Path, index: Index | None, verified_at: datetime | None) -> Index:
        """Make the files in `work` count, if they differ; durable on return.

        Raises:
            StorageError: No room, no permission; what counted before still does.
        """
        files = {
            str(path.relative_to(work)): digest(path.read_bytes())
            for path in sorted(work.rglob("*.json"))
            if path.is_file() and not path.is_symlink()
        }
        if index and files == index.files and verified_at == index.verified_at:
            return index
        new = Index(generation=work.name, files=files, verified_at=verified_at)
        try:
            for name in files:
                sync(work / name)
            for part in (work / _ROOTS, work, self.folder):
                sync(part)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        write_durably(self._index_file, codec.encode(new), mode=0o600)
        return new

    def discard(self, work: Path) -> None:
        """Remove a folder that does not count."""
        shutil.rmtree(work, ignore_errors=True)

    def _sweep(self, index: Index | None) -> None:
        """Remove what an interrupted refresh left, and the generation before this one."""
        keep = index.generation if index else ""
        for entry in os.scandir(self.folder):
            if entry.name.startswith("gen-") and entry.name != keep:
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name.startswith(".new-"):
                Path(entry.path).unlink(missing_ok=True)


def _cannot_write(folder: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot be written: {error.strerror}", where=str(folder))
