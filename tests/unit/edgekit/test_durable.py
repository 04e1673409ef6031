"""Writing whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.durable import locked, write_durably
from edgekit.errors import StorageError


def test_a_durable_write_replaces_the_whole_file_and_leaves_no_other(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_durably(file, b"a long first content")
    write_durably(file, b"second", mode=0o600)
    assert file.read_bytes() == b"second"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_durable_write_into_no_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        write_durably(tmp_path / "absent" / "file", b"")


def test_a_lock_on_a_folder_that_is_absent_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be locked"), locked(tmp_path / "absent"):
        pass
