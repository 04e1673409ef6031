"""Getting a bundle's bytes: resumed, capped by the signed length, with room checked first.

What comes is not trusted: it lies in downloads/ until it is verified.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from device_agent.transport import Transport
from edgekit.durable import sync
from edgekit.errors import NetworkError, StorageError, TrustError

_CHUNK = 1 << 16
Pause = Callable[[int], None]
"""Called with the bytes that came so far in this request, after each piece of at most 64 KiB. It
may wait (a bandwidth limit), and raises what shall end the download."""
SPARE_BYTES = 8 << 20
"""Room that a download leaves for journals, spool and logs."""


def no_pause(_: int) -> None:
    """Go on at once."""


def pause_s(came: int, elapsed_s: float, *, limit_kb_s: float) -> float:
    """Return how long to wait so that the mean speed stays below a limit.

    Args:
        came: Bytes so far.
        elapsed_s: Time so far.
        limit_kb_s: Limit in 1000 bytes a second; 0 is none.
    """
    return max(0.0, came / (1000 * limit_kb_s) - elapsed_s) if limit_kb_s > 0 else 0.0


def download(
    transport: Transport,
    url: str,
    part: Path,
    *,
    sha256: str,
    size: int,
    pause: Pause = no_pause,
) -> None:
    """Bring `part` to the signed length and check its digest; durable on return.

    What is there already is kept and the rest asked for by Range. A file that is complete is not
    asked for again.

    Args:
        transport: To the server that has it.
        url: Address of the bytes.
        part: Where to; its folder must exist.
        sha256: Signed digest, hex.
        size: Signed length in bytes: not one byte more is written.
        pause: Called between pieces.

    Raises:
        StorageError: No room or no permission.
        TrustError: The bytes are not those that were signed; `part` is removed.
        NetworkError: The answer ended early; `part` keeps what came.
        BusyError: The server asks to come later.
        RefusedError: The server does not give it.
    """
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    check_room(part.parent, need=2 * size - have)
    if have < size:
        _fetch(transport, url, part, have=have, size=size, pause=pause)
    _check_digest(part, sha256)


def fetch_capped(
    transport: Transport, url: str, part: Path, *, limit: int, pause: Pause = no_pause
) -> None:
    """Bring at most `limit` bytes into `part`, begun anew; raises as `download` does."""
    check_room(part.parent, need=limit)
    part.unlink(missing_ok=True)
    with transport.stream("GET", url) as response:
        _copy(response, part, limit, pause)


def sync_part(part: Path) -> None:
    """Bring a download and its name to the disk."""
    with _writing(part):
        sync(part)
        sync(part.parent)


def check_room(folder: Path, *, need: int) -> None:
    """Check that `need` bytes fit and leave room to work.

    Raises:
        StorageError: They do not.
    """
    free = shutil.disk_usage(folder).free
    if free < need + SPARE_BYTES:
        raise StorageError(
            f"no room: needs {(need + SPARE_BYTES) >> 20} MiB, {free >> 20} MiB are free",
            where=str(folder),
            todo="make room on the device",
        )


def _fetch(
    transport: Transport, url: str, part: Path, *, have: int, size: int, pause: Pause
) -> None:
    headers = {"Range": f"bytes={have}-"} if have else {}
    with transport.stream("GET", url, headers=headers) as response:
        if have and response.status == 416:
            part.unlink()
            raise NetworkError("the server has no such range", where=url)
        start = have if response.status == 206 else 0
        with _writing(part), part.open("ab") as out:
            out.truncate(start)
        _copy(response, part, size - start, pause)
    sync_part(part)
    came = part.stat().st_size
    if came < size:
        raise NetworkError(f"the answer ended after {came} of {size} bytes", where=url)


def _copy(source: http.client.HTTPResponse, part: Path, limit: int, pause: Pause) -> None:
    came = 0
    with part.open("ab", buffering=0) as out:
        while came < limit and (chunk := source.read1(min(_CHUNK, limit - came))):
            with _writing(part):
                _write_all(out, chunk)
            came += len(chunk)
            pause(came)


def _write_all(out: io.RawIOBase, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[out.write(view) or 0 :]


@contextmanager
def _writing(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot be written ({error.strerror})", where=str(part)) from error


def _check_digest(part: Path, sha256: str) -> None:
    with part.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != sha256:
        part.unlink()
        raise TrustError(
            f"has sha256 {found[:12]}..., signed was {sha256[:12]}...", where=part.name
        )
