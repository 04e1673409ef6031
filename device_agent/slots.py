"""The verified bundles of one model, and which of them runs.

    models/<model>/slots.json       active, previous, trial: digests; replaced atomically
    models/<model>/<digest>/        bundle.bundle, and its files as the worker reads them

`active` was committed, `previous` was before it and stays until the next commit, `trial` runs
on probation. Whatever happens during a trial, a restart finds `active` where it was.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit import codec
from edgekit.bundle import Bundle, file_digest, open_bundle
from edgekit.durable import sync, write_durably
from edgekit.errors import BundleError, FormatError, StorageError

FORMAT_VERSION = "1.0"
FORMAT_MAJOR = 1
BUNDLE = "bundle.bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointers:
    """Which bundle plays which part; empty for none.

    Attributes:
        active: SHA-256 of the committed one.
        previous: SHA-256 of the one committed before it.
        trial: SHA-256 of the one on probation.
        unsteady: SHA-256 of one that was committed and then would not stay up.
        format_version: Of slots.json.
    """

    active: str = ""
    previous: str = ""
    trial: str = ""
    unsteady: str = ""
    format_version: str = FORMAT_VERSION

    @property
    def running(self) -> str:
        """The bundle that answers: the trial while there is one."""
        return self.trial or self.active

    def held(self) -> set[str]:
        """Return every digest that must stay on the disk."""
        return {d for d in (self.active, self.previous, self.trial) if d}


class Slots:
    """The slots of one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.folder.name

    def pointers(self) -> Pointers:
        """Return which bundle plays which part.

        Raises:
            FormatError: slots.json is damaged or of an unknown major version.
        """
        path = self.folder / "slots.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Pointers()
        except OSError as error:
            raise FormatError(f"cannot be read ({error.strerror})", where=str(path)) from error
        pointers = codec.decode(data, Pointers, where=str(path))
        codec.check_major(pointers.format_version, FORMAT_MAJOR, where=str(path))
        return pointers

    def bundle_path(self, digest: str) -> Path:
        """Return where a held bundle lies."""
        return self.folder / digest / BUNDLE

    def holds(self, digest: str) -> bool:
        """Say whether a bundle is here and, byte for byte, still what its digest says."""
        path = self.bundle_path(digest)
        try:
            return bool(digest) and path.is_file() and file_digest(path) == digest
        except OSError:
            return False

    def open(self, digest: str) -> Bundle:
        """Open a held bundle, verifying all of it.

        Raises:
            BundleError: It is not here, or not what its digest says.
        """
        bundle = open_bundle(self.bundle_path(digest))
        if bundle.sha256 != digest:
            raise BundleError(f"is not {digest[:12]}...", where=str(bundle.path))
        return bundle

    def stage(self, verified: Path, digest: str) -> Bundle:
        """Take a verified download into the store; durable on return, idempotent.

        Nothing runs it yet. Called again after an interruption it finishes what was begun.

        Raises:
            BundleError: The bundle is neither in the store nor at `verified`.
            StorageError: No room or no permission.
        """
        slot = self.folder / digest
        try:
            slot.mkdir(parents=True, exist_ok=True)
            if not self.holds(digest):
                self._take(verified, slot)
            bundle = self.open(digest)
            bundle.extract(slot / "files")
            sync(slot / "files")
            self._sync(slot)
        except FileNotFoundError as error:
            raise BundleError("is not here any more", where=str(verified)) from error
        except OSError as error:
            raise StorageError(f"cannot be staged ({error.strerror})", where=str(slot)) from error
        return bundle

    def begin_trial(self, digest: str) -> None:
        """Say that `digest` runs on probation; durable on return."""
        self._write(replace(self.pointers(), trial=digest))

    def end_trial(self) -> None:
        """Return to the committed bundle; durable on return, idempotent."""
        pointers = self.pointers()
        if pointers.trial:
            self._write(replace(pointers, trial=""))

    def commit(self, digest: str) -> None:
        """Make `digest` the active bundle, the active one the previous; idempotent."""
        pointers = self.pointers()
        if pointers.active == digest:
            return self.end_trial()
        return self._write(
            Pointers(active=digest, previous=pointers.active, unsteady=pointers.unsteady)
        )

    def fall_back(self) -> str:
        """Swap active and previous after the active one would not stay up; return the new one.

        Returns the empty string, and changes nothing, when there is no usable previous one.
        """
        pointers = self.pointers()
        if not self.holds(pointers.previous):
            return ""
        self._write(
            Pointers(active=pointers.previous, previous=pointers.active, unsteady=pointers.active)
        )
        return pointers.previous

    def forgive(self, digest: str) -> None:
        """Forget that `digest` would not stay up: the server knows it now. Idempotent."""
        pointers = self.pointers()
        if pointers.unsteady == digest:
            self._write(replace(pointers, unsteady=""))

    def forget_damaged(self) -> str:
        """Check the active bundle against its digest; return what can be served, or "".

        A damaged active bundle gives way to the previous one.
        """
        pointers = self.pointers()
        if not pointers.active or self.holds(pointers.active):
            return pointers.active
        try:
            return self.fall_back()
        except StorageError:
            return pointers.previous  # it is sound; the next start tries to write that down

    def set_aside(self) -> None:
        """Keep a damaged slots.json under another name; the model can be installed anew."""
        path = self.folder / "slots.json"
        path.replace(path.with_suffix(".damaged"))

    def collect(self, keep: str = "") -> None:
        """Remove every bundle that plays no part and is not `keep`."""
        held = self.pointers().held() | {keep}
        for entry in self.folder.iterdir() if self.folder.is_dir() else ():
            if entry.is_dir() and entry.name not in held:
                shutil.rmtree(entry, ignore_errors=True)

    def _take(self, verified: Path, slot: Path) -> None:
        """Move a download into its slot; a power cut finds it in one place or in both.

        A rename between folders may reach the disk in halves, hence a second name and then the
        end of the first; file systems without hard links get the rename.
        """
        (slot / BUNDLE).unlink(missing_ok=True)
        try:
            (slot / BUNDLE).hardlink_to(verified)
        except FileNotFoundError:
            raise
        except OSError:
            verified.replace(slot / BUNDLE)
        self._sync(slot)
        verified.unlink(missing_ok=True)
        sync(verified.parent)

    def _sync(self, slot: Path) -> None:
        for folder in (slot, self.folder, self.folder.parent, self.folder.parent.parent):
            sync(folder)

    def _write(self, pointers: Pointers) -> None:
        write_durably(self.folder / "slots.json", codec.encode(pointers))


class SlotStore:
    """The slots of every model on the device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, model: str) -> Slots:
        """Return the slots of a model; its folder is made when something is staged.

        Raises:
            BundleError: The name cannot be a folder.
        """
        if not model or model.startswith(".") or "/" in model or "\0" in model:
            raise BundleError(f"{model!r} cannot name a model")
        return Slots(self.folder / model)

    def all(self) -> list[Slots]:
        """Return the slots of every model that has any, by name."""
        return [slots for slots in self.begun() if (slots.folder / "slots.json").is_file()]

    def begun(self) -> list[Slots]:
        """Return the slots of every model that has a folder, by name."""
        if not self.folder.is_dir():
            return []
        return [Slots(folder) for folder in sorted(self.folder.iterdir()) if folder.is_dir()]
