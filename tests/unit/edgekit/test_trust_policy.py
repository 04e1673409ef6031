"""Names, paths and files, without any key."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgekit.errors import StorageError, TrustError, UsageError
from edgekit.trust import Reason, TargetInfo, UntrustedError, bundle_path, verify_file
from edgekit.trust.policy import check_model_name, model_pattern


def test_the_path_names_model_version_and_variant() -> None:
    path = bundle_path(model="digits", version="1.0.0+b7", variant="onnx-int8")
    assert path == "models/digits/1.0.0+b7/onnx-int8.bundle"


@pytest.mark.parametrize(
    "name", ["", "a/b", "..", "*", "root", "timestamp", "a b", "x" * 65, "a\n"]
)
def test_a_name_that_could_be_another_role_or_path_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_model_name(name)


@pytest.mark.parametrize("part", ["", "..", "a/b", "*", "a?"])
def test_a_part_that_could_leave_its_place_is_refused(part: str) -> None:
    with pytest.raises(UsageError):
        bundle_path(model="digits", version=part, variant="onnx")
    with pytest.raises(UsageError):
        bundle_path(model="digits", version="1", variant=part)


def test_a_pattern_covers_version_and_variant_only() -> None:
    assert model_pattern("digits") == "models/digits/*/*"


@pytest.fixture
def info() -> TargetInfo:
    data = b"model" * 1000
    return TargetInfo(path="p", length=len(data), sha256=hashlib.sha256(data).hexdigest())


def test_the_signed_bytes_verify(tmp_path: Path, info: TargetInfo) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"model" * 1000)
    verify_file(file, info)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"model" * 999, id="shorter"),
        pytest.param(b"model" * 1001, id="longer"),
        pytest.param(b"model" * 999 + b"modem", id="altered"),
    ],
)
def test_other_bytes_are_a_mismatch(tmp_path: Path, info: TargetInfo, data: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    with pytest.raises(UntrustedError) as error:
        verify_file(file, info)
    assert error.value.reason is Reason.MISMATCH
    assert isinstance(error.value, TrustError)


def test_an_absent_file_is_not_called_a_forgery(tmp_path: Path, info: TargetInfo) -> None:
    with pytest.raises(StorageError, match="absent"):
        verify_file(tmp_path / "absent", info)
