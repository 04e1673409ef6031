"""Files that survive a power cut: write, fsync, rename, fsync the folder; and a folder lock.

Knows nothing of what is in them.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgekit.errors import StorageError

_UNFINISHED = ".new-"


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` at `path`, whole or not at all; durable on return.

    Args:
        path: Final place; its folder must exist. An existing file is replaced.
        data: Content.
        mode: Permission bits, set before the content is written.

    Raises:
        StorageError: No room, no permission, no such folder.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync(path.parent)
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from error


def forget_unfinished(folder: Path) -> None:
    """Remove what `write_durably` left in `folder` and below when its process ended in the middle.

    Only for a folder in which nobody writes at this moment.
    """
    for path in list(folder.rglob(f"{_UNFINISHED}*")):
        with suppress(OSError):
            path.unlink()


def make_folder(path: Path, *, mode: int = 0o755) -> None:
    """Make a folder and those above it, unless they exist.

    Raises:
        StorageError: No permission, no room, or a file is in the way.
    """
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot be made: {error.strerror}", where=str(path)) from error


def sync(path: Path) -> None:
    """Flush a file's content or a folder's names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        StorageError: It is not there or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", where=str(path)) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one process at a time; waits for its turn.

    The lock ends with the process, so that a crash leaves nothing to clean up.
    """
    try:
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot be locked: {error.strerror}", where=str(folder)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
