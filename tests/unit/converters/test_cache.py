import os
from pathlib import Path

import pytest

from converters.cache import KEEP_S, Cache, default_folder, key_of
from edgekit.errors import StorageError
from edgekit.manifest import Preprocessing


def writes(text: str):
    def write(path: Path) -> None:
        path.write_text(text)

    return write


def test_what_was_put_is_found(tmp_path: Path):
    cache = Cache(tmp_path / "c")
    assert cache.find("k", "1") is None
    path = cache.put("k", "1", writes("hello"))
    assert cache.find("k", "1") == path
    assert path.read_text() == "hello"
    assert cache.find("other", "1") is None


def test_equal_results_lie_there_once(tmp_path: Path):
    cache = Cache(tmp_path)
    assert cache.put("k", "1", writes("a")) == cache.put("k", "2", writes("a"))
    assert len(list((tmp_path / "blobs").iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"hellO", b"hello and more"])
def test_a_damaged_entry_counts_as_absent(tmp_path: Path, damage: bytes):
    cache = Cache(tmp_path)
    cache.put("k", "1", writes("hello")).write_bytes(damage)
    assert cache.find("k", "1") is None


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path):
    def fails(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left"):
        Cache(tmp_path).put("k", "1", fails)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_what_nobody_used_is_forgotten(tmp_path: Path):
    cache = Cache(tmp_path)
    old, used = cache.put("k", "old", writes("a")), cache.put("k", "used", writes("b"))
    for file in tmp_path.rglob("*"):
        at_s = file.stat().st_mtime - KEEP_S - 60
        os.utime(file, (at_s, at_s))
    cache.find("k", "used")
    cache.forget_unused()
    assert not old.exists()
    assert cache.find("k", "used") == used


def test_a_key_says_everything_in_any_order():
    spec = Preprocessing(height=1, width=2)
    assert key_of(a=1, b=spec) == key_of(b=spec, a=1)
    assert key_of(a=1, b=spec) != key_of(a=1, b=Preprocessing(height=2, width=2))


def test_the_folder_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EDGEKIT_CACHE", "/somewhere")
    assert default_folder() == Path("/somewhere")
    monkeypatch.delenv("EDGEKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/a/.cache")
    assert default_folder() == Path("/home/a/.cache/edgekit")
