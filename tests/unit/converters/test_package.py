from pathlib import Path

import pytest

from converters.extras import tool_versions
from converters.package import deliver, work_folder
from edgekit.errors import StorageError


def test_the_work_folder_lies_beside_the_destination_and_goes_away(tmp_path: Path):
    with work_folder(tmp_path / "a" / "out") as folder:
        (folder / "half").write_bytes(b"x")
        assert folder.parent == tmp_path / "a"
    assert list((tmp_path / "a").iterdir()) == []


def test_the_work_folder_goes_away_after_a_failure(tmp_path: Path):
    def fail() -> None:
        with work_folder(tmp_path / "out") as folder:
            (folder / "half").write_bytes(b"x")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_one_line_with_the_destination(tmp_path: Path):
    def fill() -> None:
        with work_folder(tmp_path / "out"):
            raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"out: cannot write \(No space left on device\)"):
        fill()


def test_a_destination_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write"), work_folder(tmp_path / "file" / "out"):
        pass


def test_a_new_destination_appears_at_once(tmp_path: Path):
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished" / "a.bundle").write_bytes(b"new")
    deliver(tmp_path / "finished", tmp_path / "out")
    assert (tmp_path / "out" / "a.bundle").read_bytes() == b"new"


def test_an_existing_destination_keeps_other_files(tmp_path: Path):
    for folder, name, content in (
        ("finished", "a.bundle", b"new"),
        ("out", "a.bundle", b"old"),
        ("out", "b.bundle", b"other"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_bytes(content)
    deliver(tmp_path / "finished", tmp_path / "out")
    assert (tmp_path / "out" / "a.bundle").read_bytes() == b"new"
    assert (tmp_path / "out" / "b.bundle").read_bytes() == b"other"


def test_versions_of_absent_tools_are_left_out():
    assert set(tool_versions(("numpy", "no-such-distribution"))) == {"numpy"}
