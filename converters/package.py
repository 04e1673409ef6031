"""The last step: from a proven variant to a bundle, and from a work folder to the place asked for.

Nothing appears at the destination before every bundle is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from converters.billing import BOM, CARD, bill_of_materials, model_card
from converters.proof import Checked
from edgekit import codec
from edgekit.bundle import Bundle, bundle_name, write_bundle
from edgekit.drift import REFERENCE
from edgekit.errors import ConflictError, StorageError, UsageError
from edgekit.golden import check_golden, golden_files, read_golden
from edgekit.manifest import Manifest

LABELS = "labels.txt"


def write_variant(folder: Path, manifest: Manifest, checked: Checked) -> Bundle:
    """Write the bundle of a proven variant into `folder`, and recompute its golden samples.

    Raises:
        ProofError: A golden sample does not reproduce even here.
        StorageError: No room or no permission.
    """
    content = checked.model.read_bytes()
    files = {
        manifest.file: content,
        **golden_files(checked.golden),
        REFERENCE: codec.encode(checked.drift),
        BOM: bill_of_materials(manifest, hashlib.sha256(content).hexdigest()),
        CARD: model_card(manifest),
    }
    if manifest.labels:
        files[LABELS] = "".join(f"{label}\n" for label in manifest.labels).encode()
    name = bundle_name(manifest.model, manifest.version, manifest.variant)
    bundle = write_bundle(folder / name, manifest, files)
    check_golden(checked.session, read_golden(bundle), bundle.manifest)
    return bundle


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """Make a folder beside `out`, on the same disk, and remove it at the end.

    Until then nobody else may: what a conversion left whose machine went down is removed.

    Raises:
        ConflictError: Another conversion works for that folder.
        StorageError: It cannot be made, or a step inside had no room or no permission.
        UsageError: There is a file of that name.
    """
    if out.is_file():
        raise UsageError("is a file", where=str(out), todo="name a folder in --out")
    folder: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(out):
            prefix = f".{out.name}.work-"
            for left in out.parent.glob(f"{prefix}*"):
                shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
            yield folder
    except StorageError as error:
        if folder is None or not error.where.startswith(str(folder)):
            raise
        raise StorageError(error.what, where=str(out), todo="nothing was left there") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"cannot write ({reason})", where=str(out), todo="nothing was left there"
        ) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _only_one(out: Path) -> Iterator[None]:
    """Hold a lock beside `out` that ends with the process, and leave no file behind."""
    path = out.parent / f".{out.name}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _lock(handle, path):
        os.close(handle)
        raise ConflictError(
            "another conversion is writing there", where=str(out), todo="wait for it, or say --out"
        )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _lock(handle: int, path: Path) -> bool:
    """Take the lock if nobody holds it; a file that its holder just removed locks nothing."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return path.exists() and path.stat().st_ino == os.fstat(handle).st_ino


def deliver(finished: Path, out: Path) -> None:
    """Move what lies in `finished` to `out`, each file whole; the folder at once where it is new.

    Files of the same name are replaced, others stay: versions of a model may share a folder.
    """
    if not out.exists():
        finished.chmod(0o755)
        finished.rename(out)
        return
    for file in sorted(finished.iterdir()):
        file.replace(out / file.name)
