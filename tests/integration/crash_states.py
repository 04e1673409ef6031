"""Crash states: what a disk may hold after a power cut, from a record of file operations.

`fs_shim.c` records what processes do below a folder. After a power cut, of every file any prefix
of the writes since its last fsync may be there, and of every folder any prefix of the names since
its last fsync. Nothing else is promised.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = struct.Struct("=c7xQQII")
MARK = b"m"
VOLATILE = ("status.json", "status.new", "spool.sqlite", ".lock")


@dataclass(frozen=True, slots=True)
class Op:
    """One recorded operation; `first` and `second` are paths, or the bytes of a write."""

    kind: bytes
    inode: int
    number: int
    first: bytes
    second: bytes


def mark(log: Path, text: str) -> None:
    """Note in the log that something happened elsewhere."""
    data = text.encode()
    with log.open("ab", buffering=0) as out:
        out.write(_HEAD.pack(MARK, 0, 0, len(data), 0) + data)


def read_log(log: Path) -> list[Op]:
    """Return the recorded operations in order."""
    data, at, found = log.read_bytes(), 0, []
    while at < len(data):
        kind, inode, number, a, b = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        found.append(Op(kind, inode, number, data[at : at + a], data[at + a : at + a + b]))
        at += a + b
    return found


@dataclass(slots=True)
class File:
    """A file: what is on the disk for sure, and what was written since."""

    sure: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    link: bytes = b""

    def content(self, count: int, torn: float = 1.0) -> bytes:
        """Return the content with `count` pending operations, the last one cut at a share."""
        if not count:
            return self.sure
        data = bytearray(self.sure)
        for number, (at, chunk) in enumerate(self.pending[:count]):
            if chunk is None:
                data = data[:at].ljust(at, b"\0")
                continue
            kept = chunk[: int(len(chunk) * torn)] if number == count - 1 else chunk
            data = data.ljust(at, b"\0")
            data[at : at + len(kept)] = kept
        return bytes(data)


@dataclass(slots=True)
class Folder:
    """A folder: names that are there for sure, and changes since; each change is atomic."""

    sure: dict[bytes, int] = field(default_factory=dict)
    now: dict[bytes, int] = field(default_factory=dict)
    pending: list[dict[bytes, int]] = field(default_factory=list)

    def change(self, names: dict[bytes, int]) -> None:
        """Set names to nodes; 0 removes."""
        self.pending.append(names)
        _apply(self.now, names)

    def names(self, count: int) -> dict[bytes, int]:
        """Return the names with `count` pending changes."""
        names = dict(self.sure)
        for change in self.pending[:count]:
            _apply(names, change)
        return names


def _apply(names: dict[bytes, int], change: dict[bytes, int]) -> None:
    for name, node in change.items():
        if node:
            names[name] = node
        else:
            names.pop(name, None)


Choose = Callable[[File | Folder], tuple[int, float]]
"""How many pending operations of a node reached the disk, and how much of the last."""


class Disk:
    """Files and folders below one folder, with what of them is on the disk for sure."""

    def __init__(self, folder: Path) -> None:
        """Begin with what is there now, taken as written for good."""
        self.root = str(folder).encode()
        self.nodes: dict[int, File | Folder] = {}
        self.inodes: dict[int, int] = {}
        self.top = self._scan(folder)

    def _scan(self, path: Path) -> int:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return self._new(status.st_ino, File(link=os.fsencode(path.readlink())))
        if stat.S_ISREG(status.st_mode):
            return self._new(status.st_ino, File(sure=path.read_bytes()))
        names = {os.fsencode(p.name): self._scan(p) for p in path.iterdir() if not p.is_socket()}
        return self._new(status.st_ino, Folder(sure=names, now=dict(names)))

    def _new(self, inode: int, node: File | Folder) -> int:
        number = len(self.nodes) + 1
        self.nodes[number] = node
        self.inodes[inode] = number
        return number

    def _parent(self, path: bytes) -> tuple[Folder, bytes]:
        parts = path[len(self.root) :].strip(b"/").split(b"/")
        node = self.nodes[self.top]
        for part in parts[:-1]:
            assert isinstance(node, Folder)
            node = self.nodes[node.now[part]]
        assert isinstance(node, Folder)
        return node, parts[-1]

    def apply(self, op: Op) -> None:
        """Do one recorded operation."""
        match op.kind:
            case b"c" | b"d" | b"y":
                path = op.second if op.kind == b"y" else op.first
                node = Folder() if op.kind == b"d" else File(link=op.first if op.second else b"")
                folder, name = self._parent(path)
                folder.change({name: self._new(op.inode, node)})
            case b"w" | b"t":
                file = self.nodes[self.inodes[op.inode]]
                assert isinstance(file, File)
                file.pending.append((op.number, op.first if op.kind == b"w" else None))
            case b"s":
                self._sync(self.nodes[self.inodes[op.inode]])
            case b"u":
                folder, name = self._parent(op.first)
                if name in folder.now:  # a socket is no file
                    folder.change({name: 0})
            case b"r" | b"l":
                self._move(op)
            case _:
                raise AssertionError(f"unknown operation {op.kind!r}")

    def _move(self, op: Op) -> None:
        source, old = self._parent(op.first)
        target, new = self._parent(op.second)
        node = source.now[old]
        if source is target and op.kind == b"r":
            return source.change({old: 0, new: node})
        target.change({new: node})
        return source.change({old: 0}) if op.kind == b"r" else None

    def _sync(self, node: File | Folder) -> None:
        if isinstance(node, File):
            node.sure = node.content(len(node.pending))
        else:
            node.sure = node.names(len(node.pending))
        node.pending = []

    def state(self, choose: Choose) -> dict[str, bytes | None]:
        """Return one state after a power cut: content by path, None for a folder."""
        found: dict[str, bytes | None] = {}
        self._collect(self.top, "", choose, found)
        return found

    def _collect(
        self, number: int, path: str, choose: Choose, found: dict[str, bytes | None]
    ) -> None:
        node = self.nodes[number]
        count, torn = choose(node)
        if isinstance(node, File):
            found[path] = node.content(count, torn) if not node.link else b"->" + node.link
            return
        found[path or "."] = None
        for name, child in sorted(node.names(count).items()):
            self._collect(child, f"{path}/{name.decode()}".lstrip("/"), choose, found)


def nothing(_: File | Folder) -> tuple[int, float]:
    """Nothing that was not synced reached the disk."""
    return 0, 1.0


def names_only(node: File | Folder) -> tuple[int, float]:
    """All names reached the disk, no content: the empty file after a rename."""
    return (len(node.pending) if isinstance(node, Folder) else 0), 1.0


def content_only(node: File | Folder) -> tuple[int, float]:
    """All content reached the disk, no names."""
    return (len(node.pending) if isinstance(node, File) else 0), 1.0


def everything(node: File | Folder) -> tuple[int, float]:
    """All reached the disk: what a kill leaves."""
    return len(node.pending), 1.0


def at_random(rng: random.Random) -> Choose:
    """Return a chooser of any prefix of each node's operations, the last write torn."""
    return lambda node: (rng.randint(0, len(node.pending)), rng.random())


@dataclass(frozen=True, slots=True)
class CrashState:
    """One state of the disk.

    Attributes:
        after: Recorded operations before the cut.
        how: What reached the disk.
        marks: What happened elsewhere before the cut.
        tree: Content by path.
    """

    after: int
    how: str
    marks: tuple[str, ...]
    tree: dict[str, bytes | None]

    def write(self, folder: Path) -> None:
        """Make `folder` hold this state and nothing else."""
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in self.tree.items():
            path = folder / name
            if content is None:
                path.mkdir(parents=True, mode=0o700)
            elif content.startswith(b"->"):
                path.symlink_to(os.fsdecode(content[2:]))
            else:
                path.write_bytes(content)


def crash_states(disk: Disk, ops: list[Op], *, seed: int, randoms: int = 2) -> Iterator[CrashState]:
    """Yield every distinct state that a power cut during `ops` may leave.

    States that differ only in volatile files (status, spool, locks) count as one.
    """
    disk = deepcopy(disk)
    rng, seen, marks = random.Random(seed), set[bytes](), list[str]()
    ways = {"nothing": nothing, "names": names_only, "content": content_only, "kill": everything}
    for after, op in enumerate(ops, 1):
        if op.kind == MARK:
            marks.append(op.first.decode())
        else:
            disk.apply(op)
        chosen = dict(ways)
        for number in range(randoms):
            chosen[f"random {number}"] = at_random(rng)
        for how, choose in chosen.items():
            state = CrashState(after, how, tuple(marks), disk.state(choose))
            key = _key(state)
            if key not in seen:
                seen.add(key)
                yield state


def _key(state: CrashState) -> bytes:
    seen = hashlib.sha256(repr(state.marks).encode())
    for name, content in state.tree.items():
        if not Path(name).name.startswith(VOLATILE):
            seen.update(name.encode() + b"\0" + hashlib.sha256(content or b"").digest())
    return seen.digest()
