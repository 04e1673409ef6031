"""What somebody elsewhere needs to find out what is wrong: one bounded tar.gz without secrets."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from device_agent.config import Config, Layout
from device_agent.doctor import examine
from device_agent.identity import load_identity
from device_agent.status import read_status
from edgekit import codec
from edgekit.durable import write_durably
from edgekit.errors import EdgeKitError

MAX_FILE_BYTES = 256 << 10
MAX_BYTES = 3 << 20
MAX_PARTS = 100
HIDDEN = "(hidden)"
_USER = re.compile(rb"://[^/\s\"@]{1,512}@")


def collect(config: Config, layout: Layout, *, now: datetime) -> dict[str, bytes]:
    """Return what goes into the bundle by name, bounded and redacted; no part is required."""
    found: dict[str, bytes] = {}
    identity = layout.identity
    parts: dict[str, Callable[[], bytes]] = {
        "doctor.json": lambda: codec.encode(examine(config, layout, now=now)),
        "status.json": lambda: codec.encode(read_status(layout)),
        "identity.json": lambda: codec.encode(replace(load_identity(identity), token=HIDDEN)),
        "config.json": lambda: codec.encode(config),
    }
    for name, make in parts.items():
        try:
            found[name] = make()
        except EdgeKitError as error:
            found[f"{name}.error"] = str(error).encode()
    for path in _files(layout):
        try:
            with path.open("rb") as file:
                found[str(path.relative_to(layout.folder))] = file.read(MAX_FILE_BYTES)
        except OSError as error:
            found[f"{path.name}.error"] = str(error).encode()
    return bounded({name: redacted(data, layout) for name, data in found.items()})


def redacted(data: bytes, layout: Layout) -> bytes:
    """Return a part without the device's token and without what stands before "@" in addresses."""
    data = _USER.sub(b"://" + HIDDEN.encode() + b"@", data)
    try:
        token = load_identity(layout.identity).token.encode()
    except EdgeKitError:
        return data
    return data.replace(token, HIDDEN.encode()) if token else data


def bounded(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Return the parts cut to 256 KiB each and, first come first served, 3 MiB together.

    What does not fit is named in "left-out.txt": 3 MiB before compression stay below
    `edgekit.jobs.MAX_DIAGNOSIS_BYTES` also when nothing can be compressed.
    """
    kept: dict[str, bytes] = {}
    left_out: list[str] = []
    room = MAX_BYTES
    for name, data in parts.items():
        cut = data[:MAX_FILE_BYTES]
        if len(cut) > room or len(kept) >= MAX_PARTS:
            left_out.append(name)
            continue
        kept[name], room = cut, room - len(cut)
    if left_out:
        kept["left-out.txt"] = "\n".join(left_out).encode()[:MAX_FILE_BYTES]
    return kept


def write(path: Path, parts: dict[str, bytes], *, now: datetime) -> None:
    """Write a tar.gz that only its owner may read.

    Raises:
        StorageError: It cannot be written.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in sorted(parts.items()):
            member = tarfile.TarInfo(f"edgekit-diagnosis/{name}")
            member.size, member.mtime, member.mode = len(data), int(now.timestamp()), 0o600
            archive.addfile(member, io.BytesIO(data))
    write_durably(path, out.getvalue(), mode=0o600)


def _files(layout: Layout) -> Iterator[Path]:
    yield from (p for p in (layout.journal, layout.tested_on) if p.is_file())
    yield from sorted(layout.folder.glob("*.damaged"))
    yield from sorted(layout.models.glob("*/slots.json"))
    yield from sorted(layout.models.glob("*/*/files/manifest.json"))[:20]
