"""What a conversion finished, kept by content between runs, so that nothing is done twice.

A key says everything that a result depends on; a key file names the SHA-256 of the result. What is
found is verified: a damaged entry counts as absent. Several conversions may share a cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgekit import codec
from edgekit.bundle import file_digest
from edgekit.durable import make_folder, write_durably
from edgekit.errors import StorageError

VARIABLE = "EDGEKIT_CACHE"
KEEP_S = 30 * 24 * 3600.0
_BLOBS, _KEYS, _UNFINISHED = "blobs", "keys", "new-"


def default_folder() -> Path:
    """Return where people's caches lie: EDGEKIT_CACHE, else the desktop's convention.

    Source: XDG Base Directory Specification 0.8.
    """
    given = os.environ.get(VARIABLE)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else base / "edgekit"


def key_of(**facts: object) -> str:
    """Return the SHA-256 of facts (JSON values and dataclasses), whatever their order."""
    return hashlib.sha256(codec.encode(facts)).hexdigest()


class Cache:
    """Files by key in one folder. Safe for several processes."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when the first result comes."""
        self.folder = folder

    def find(self, kind: str, key: str) -> Path | None:
        """Return the file of a key, verified; None where there is none."""
        name = self._key(kind, key)
        try:
            digest = name.read_text(encoding="ascii").strip()
            blob = self.folder / _BLOBS / digest
            if file_digest(blob) != digest:
                blob.unlink()
                return None
            for used in (name, blob):
                os.utime(used)
        except (OSError, UnicodeDecodeError):
            return None
        return blob

    def put(self, kind: str, key: str, write: Callable[[Path], None]) -> Path:
        """Keep what `write` leaves at the path that it is given; whole or not at all.

        Raises:
            StorageError: No room or no permission.
        """
        blobs = self.folder / _BLOBS
        make_folder(blobs)
        make_folder(self.folder / _KEYS)
        handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=blobs)
        os.close(handle)
        unfinished = Path(name)
        try:
            write(unfinished)
            digest = file_digest(unfinished)
            unfinished.replace(blobs / digest)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(f"cannot write ({reason})", where=str(blobs)) from error
        finally:
            unfinished.unlink(missing_ok=True)
        write_durably(self._key(kind, key), f"{digest}\n".encode())
        return blobs / digest

    def keep(self, kind: str, key: str, file: Path) -> None:
        """Keep a copy of a finished file.

        Raises:
            StorageError: No room or no permission.
        """

        def copy(path: Path) -> None:
            shutil.copyfile(file, path)

        self.put(kind, key, copy)

    def forget_unused(self) -> None:
        """Remove what was not used for thirty days before the latest use."""
        used: dict[Path, float] = {}
        for file in (*self.folder.glob(f"{_BLOBS}/*"), *self.folder.glob(f"{_KEYS}/*")):
            with suppress(OSError):
                used[file] = file.stat().st_mtime
        for file, at_s in used.items():
            if at_s < max(used.values()) - KEEP_S:
                file.unlink(missing_ok=True)

    def _key(self, kind: str, key: str) -> Path:
        return self.folder / _KEYS / f"{kind}-{key}"
