"""A bundle is one file: a ZIP without compression, sorted, with fixed timestamps.

`unzip -l` reads it, equal inputs give equal bytes, and deltas between versions stay small.
It holds manifest.json, the model, golden samples and labels. Opening verifies the digest of
every file against the manifest; whether the manifest is to be believed is the business of trust.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.durable import make_folder, write_durably
from edgekit.errors import BundleError, StorageError
from edgekit.manifest import FileSpec, Manifest, Preprocessing, parse_manifest

MANIFEST = "manifest.json"
SUFFIX = ".bundle"
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 30
MAX_FILES = 64
SEVERAL_INPUTS = "several-inputs"
"""Golden samples hold a tensor for each further input of the model."""
AUDIO = "audio"
"""Raw samples are waveforms: a reader that does not know it would take them for tensors."""
SUPPORTED_FEATURES: frozenset[str] = frozenset({SEVERAL_INPUTS, AUDIO})
_CHUNK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle whose files were verified against its manifest.

    Attributes:
        path: Where it lies.
        sha256: Hex digest of the whole file: the name of what a device runs.
        size: Length of the whole file in bytes.
        manifest: What is in it.
    """

    path: Path
    sha256: str
    size: int
    manifest: Manifest

    def read(self, name: str) -> bytes:
        """Return one file of the bundle.

        Raises:
            BundleError: There is no such file, or the bundle changed since it was opened.
        """
        with _zip(self.path) as archive:
            return _read_member(archive, name, self.path)

    def extract(self, folder: Path) -> None:
        """Write every file of the bundle into `folder`, flushed to disk.

        Raises:
            StorageError: No room or no permission; the folder may then hold some of the files.
        """
        with _zip(self.path) as archive:
            for name in (MANIFEST, *self.manifest.files):
                data = _read_member(archive, name, self.path)
                make_folder((folder / name).parent)
                write_durably(folder / name, data)


def bundle_name(model: str, version: str, variant: str) -> str:
    """Return the file name that a bundle ships under."""
    return f"{model}-{version}-{variant}{SUFFIX}"


def features_needed(preprocessing: Preprocessing | None, *, several: bool) -> tuple[str, ...]:
    """Return what a reader of a bundle must understand.

    Args:
        preprocessing: Of its manifest.
        several: Golden samples hold further inputs.
    """
    audio = preprocessing is not None and preprocessing.audio is not None
    return (*((SEVERAL_INPUTS,) if several else ()), *((AUDIO,) if audio else ()))


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle whole or not at all, and open it.

    Args:
        path: Where to; the folder must exist. An older file of that name is replaced.
        manifest: Everything but `files`, which is filled in here.
        files: Content by name; must hold the manifest's model file.

    Raises:
        BundleError: The model file is not among the files, or a name is no plain relative path.
        StorageError: No room or no permission; nothing is left at `path` that was not there.
    """
    if manifest.file not in files:
        raise BundleError(f"the model file {manifest.file!r} is missing", where=str(path))
    for name in files:
        _check_name(name, path)
    full = replace(
        manifest,
        files={
            name: FileSpec(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
            for name, data in sorted(files.items())
        },
    )
    write_durably(path, _archive({MANIFEST: full.to_bytes(), **files}))
    return open_bundle(path)


def _archive(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.external_attr = _MODE
            archive.writestr(info, data)
    return out.getvalue()


def open_bundle(path: Path) -> Bundle:
    """Open a bundle and verify every file in it against its manifest.

    Raises:
        BundleError: Truncated, altered, compressed, of an unknown major version, or asking for a
            feature that this version does not know.
        StorageError: The file cannot be read.
    """
    where = str(path)
    try:
        size = path.stat().st_size
        sha256 = file_digest(path)
    except OSError as error:
        raise StorageError(f"cannot read ({error.strerror})", where=where) from error
    with _zip(path) as archive:
        _check_entries(archive, path)
        manifest = parse_manifest(_read_member(archive, MANIFEST, path), where=where)
        _check_features(manifest, where)
        _check_files(archive, manifest, path)
    return Bundle(path=path, sha256=sha256, size=size, manifest=manifest)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class TooNewBundleError(BundleError):
    """A bundle needs something that a later version of EdgeKit can."""


def _check_features(manifest: Manifest, where: str) -> None:
    unknown = sorted(set(manifest.features) - SUPPORTED_FEATURES)
    if unknown:
        least = manifest.requires.agent
        needs = f"agent >= {least} for {', '.join(unknown)}" if least else ", ".join(unknown)
        raise TooNewBundleError(
            f"needs {needs}, which this version does not know",
            where=where,
            todo="update EdgeKit on this machine",
        )


def _check_name(name: str, path: Path) -> None:
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or any(p in {"", ".", ".."} for p in parts):
        raise BundleError(f"the name {name!r} is no plain relative path", where=str(path))


def _check_entries(archive: zipfile.ZipFile, path: Path) -> None:
    entries = archive.infolist()
    names = [e.filename for e in entries]
    if len(names) > MAX_FILES or len(set(names)) != len(names):
        raise BundleError("holds too many files or one name twice", where=str(path))
    for entry in entries:
        _check_name(entry.filename, path)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > MAX_FILE_BYTES:
            raise BundleError(f"{entry.filename} is compressed or too large", where=str(path))


def _check_files(archive: zipfile.ZipFile, manifest: Manifest, path: Path) -> None:
    names = set(archive.namelist()) - {MANIFEST}
    if names != set(manifest.files) or manifest.file not in names:
        raise BundleError("the files are not those of the manifest", where=str(path))
    for name, spec in manifest.files.items():
        if _digest_member(archive, name, path) != (spec.sha256, spec.size):
            raise BundleError(f"{name} is not what the manifest says", where=str(path))


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise BundleError(
            "is no bundle, or a truncated one", where=str(path), todo="get it again"
        ) from error


def _read_member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    limit = MAX_MANIFEST_BYTES if name == MANIFEST else MAX_FILE_BYTES
    try:
        if archive.getinfo(name).file_size > limit:
            raise BundleError(f"{name} is too large", where=str(path))
        return archive.read(name)
    except KeyError as error:
        raise BundleError(f"has no {name}", where=str(path)) from error
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise BundleError(f"{name} is damaged", where=str(path)) from error


def _digest_member(archive: zipfile.ZipFile, name: str, path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    try:
        with archive.open(name) as member:
            while chunk := member.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise BundleError(f"{name} is damaged", where=str(path)) from error
    return digest.hexdigest(), size
