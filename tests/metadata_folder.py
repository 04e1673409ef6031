"""Metadata of a server in a folder, so that any HTTP server can serve it to a device under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from edgekit.durable import locked, make_folder, write_durably
from edgekit.trust.accepting import PublishedSet
from edgekit.trust.online import OnlineKeys, OnlineRepository
from edgekit.trust.published import MetadataFiles, Published


class MetadataFolder:
    """A metadata store over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_folder(folder)

    @contextmanager
    def reading(self) -> Iterator[MetadataFiles]:
        yield self

    @contextmanager
    def changing(self) -> Iterator[MetadataFiles]:
        with locked(self.folder):
            yield self

    def get(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    def put(self, name: str, data: bytes) -> None:
        write_durably(self.folder / name, data)

    def names(self, ending: str) -> list[str]:
        return [path.name for path in self.folder.glob(f"*{ending}")]


def repository_in(folder: Path, keys: OnlineKeys) -> OnlineRepository:
    """Return the repository of a server whose metadata lies in a folder."""
    return OnlineRepository(MetadataFolder(folder), keys)


def sign(
    folder: Path,
    keys: OnlineKeys,
    now: datetime,
    change: Callable[[PublishedSet], PublishedSet] = lambda state: state,
) -> None:
    """Sign a snapshot and a timestamp with online keys, over whatever somebody wants to show."""
    published = Published(MetadataFolder(folder), keys)
    published.sign(change(published.state()), now, snapshot=True)


def state_of(folder: Path, keys: OnlineKeys) -> PublishedSet:
    """Return what is published in a folder."""
    return Published(MetadataFolder(folder), keys).state()
