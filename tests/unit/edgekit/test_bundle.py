import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.bundle import (
    MANIFEST,
    Bundle,
    TooNewBundleError,
    bundle_name,
    file_digest,
    open_bundle,
    write_bundle,
)
from edgekit.errors import BundleError, StorageError
from tests.manifests import PLAIN

FILES = {"model.onnx": b"model " * 50, "golden/input.npy": b"golden"}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "a.bundle", PLAIN, FILES)


def test_a_bundle_holds_what_was_written(bundle: Bundle):
    again = open_bundle(bundle.path)
    assert again == bundle
    assert again.read("model.onnx") == FILES["model.onnx"]
    assert again.manifest.files["model.onnx"].size == 300
    assert bundle.sha256 == file_digest(bundle.path)
    assert bundle.size == bundle.path.stat().st_size


def test_equal_contents_give_equal_bytes(tmp_path: Path, bundle: Bundle):
    other = write_bundle(tmp_path / "b.bundle", PLAIN, dict(reversed(FILES.items())))
    assert other.path.read_bytes() == bundle.path.read_bytes()


def test_unzip_lists_it_in_order_without_compression(bundle: Bundle):
    with zipfile.ZipFile(bundle.path) as archive:
        assert archive.namelist() == sorted(archive.namelist())
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.testzip() is None


def test_extracting_writes_every_file(tmp_path: Path, bundle: Bundle):
    bundle.extract(tmp_path / "slot")
    assert (tmp_path / "slot" / "golden" / "input.npy").read_bytes() == b"golden"
    assert (tmp_path / "slot" / MANIFEST).is_file()


def test_extracting_where_there_is_no_room_is_a_storage_error(tmp_path: Path, bundle: Bundle):
    (tmp_path / "slot").write_bytes(b"a file where the folder should be")
    with pytest.raises(StorageError, match="slot"):
        bundle.extract(tmp_path / "slot")


def test_nothing_is_left_when_a_bundle_cannot_be_written(tmp_path: Path):
    with pytest.raises(StorageError, match="cannot be written"):
        write_bundle(tmp_path / "absent" / "a.bundle", PLAIN, FILES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_bundle_is_refused(bundle: Bundle, share: float):
    whole = bundle.path.read_bytes()
    bundle.path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BundleError, match=r"a\.bundle: is no bundle, or a truncated one"):
        open_bundle(bundle.path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_changed_byte_of_a_file_is_caught(bundle: Bundle, data: st.DataObject):
    whole = bytearray(bundle.path.read_bytes())
    start = bytes(whole).index(FILES["model.onnx"])
    at = data.draw(st.integers(start, start + 299))
    whole[at] ^= data.draw(st.integers(1, 255))
    changed = bundle.path.with_name("changed.bundle")
    changed.write_bytes(whole)
    with pytest.raises(BundleError, match=r"model\.onnx is (damaged|not what the manifest says)"):
        open_bundle(changed)


def rewritten(bundle: Bundle, files: dict[str, bytes], *, compression: int = 0) -> Path:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    path = bundle.path.with_name("other.bundle")
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model.onnx": b"another"}, "model.onnx is not what the manifest says"),
        ({"extra": b""}, "the files are not those of the manifest"),
        ({"../escape": b""}, "no plain relative path"),
        ({"/absolute": b""}, "no plain relative path"),
        ({MANIFEST: b"{}"}, "not a valid"),
    ],
)
def test_a_bundle_with_other_files_than_promised_is_refused(
    bundle: Bundle, changes: dict[str, bytes], reason: str
):
    files = {MANIFEST: bundle.read(MANIFEST), **FILES, **changes}
    with pytest.raises(BundleError, match=reason):
        open_bundle(rewritten(bundle, files))


def test_a_missing_file_is_refused(bundle: Bundle):
    files = {MANIFEST: bundle.read(MANIFEST), "model.onnx": FILES["model.onnx"]}
    with pytest.raises(BundleError, match="the files are not those"):
        open_bundle(rewritten(bundle, files))


def test_a_compressed_bundle_is_refused(bundle: Bundle):
    files = {MANIFEST: bundle.read(MANIFEST), **FILES}
    with pytest.raises(BundleError, match="compressed"):
        open_bundle(rewritten(bundle, files, compression=zipfile.ZIP_DEFLATED))


def test_an_unknown_major_version_is_refused(bundle: Bundle):
    newer = bundle.read(MANIFEST).replace(b'"format_version":"1.0"', b'"format_version":"2.0"')
    with pytest.raises(BundleError, match=r"other\.bundle: format version '2\.0' is unknown"):
        open_bundle(rewritten(bundle, {MANIFEST: newer, **FILES}))


def test_an_unknown_feature_is_refused_never_skipped(tmp_path: Path):
    with pytest.raises(BundleError, match="needs time-travel"):
        write_bundle(tmp_path / "a.bundle", replace(PLAIN, features=("time-travel",)), FILES)


def test_an_unknown_feature_names_the_agent_that_knows_it(tmp_path: Path):
    requires = replace(PLAIN.requires, agent="0.9")
    late = replace(PLAIN, features=("time-travel",), requires=requires)
    with pytest.raises(TooNewBundleError, match=r"needs agent >= 0\.9 for time-travel"):
        write_bundle(tmp_path / "a.bundle", late, FILES)


def test_a_bundle_without_its_model_is_not_written(tmp_path: Path):
    with pytest.raises(BundleError, match=r"model\.onnx"):
        write_bundle(tmp_path / "a.bundle", PLAIN, {"golden/input.npy": b""})
    assert list(tmp_path.iterdir()) == []


def test_asking_for_an_absent_file_is_a_bundle_error(bundle: Bundle):
    with pytest.raises(BundleError, match="has no readme"):
        bundle.read("readme")


def test_names_follow_model_version_and_variant():
    assert bundle_name("digits", "1.0.0", "onnx-int8") == "digits-1.0.0-onnx-int8.bundle"
