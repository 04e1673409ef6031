"""The engineer's folder of keys: root, targets and one per model, under one passphrase.

    root.pem targets.pem        the two top-level roles; may be absent where only a model is signed
    models/<name>.pem           one per model
    retired/<keyid>.pem         keys that were replaced; the next root is signed with them too
    state.json                  versions seen, so that nobody hands us an older file to extend

The folder never goes to a server. Private keys leave it only as signatures.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit import codec
from edgekit.durable import locked, make_folder, read_bytes, write_durably
from edgekit.errors import ConflictError, TrustError, UsageError
from edgekit.trust.keys import PublicKey, generate_pem, open_pem, public_key
from edgekit.trust.policy import ROOT, TARGETS, check_model_name
from edgekit.trust.reasons import Reason, UntrustedError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVersions:
    """What this key store has signed and seen published, by role.

    Attributes:
        signed: Highest version ever signed here.
        published: Highest version known to be out.
        format_version: Of state.json.
    """

    signed: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    format_version: str = "1.0"


class KeyStore:
    """Keys in a folder, opened with a passphrase. Use `create` or `open`."""

    def __init__(self, folder: Path, passphrase: str) -> None:
        self.folder = folder
        self._passphrase = passphrase
        self._signers: dict[Path, CryptoSigner] = {}

    @classmethod
    def create(cls, folder: Path, passphrase: str) -> KeyStore:
        """Make a folder (0700) with new root and targets keys (0600); durable on return.

        Raises:
            UsageError: The passphrase is empty.
            ConflictError: The folder holds keys already.
            StorageError: The folder cannot be written.
        """
        if not passphrase:
            raise UsageError("the passphrase is empty", todo="choose one of several words")
        make_folder(folder, mode=0o700)
        store = cls(folder, passphrase)
        with locked(folder):
            if store._key_files():
                raise ConflictError("there are keys already", where=str(folder))
            for role in (TARGETS, ROOT):
                write_durably(store._file(role), generate_pem(passphrase), mode=0o600)
        return store

    @classmethod
    def open(cls, folder: Path, passphrase: str) -> KeyStore:
        """Open a folder of keys and try the passphrase on one of them.

        Raises:
            TrustError: There are no keys, or the passphrase is wrong.
        """
        store = cls(folder, passphrase)
        files = store._key_files()
        if not files:
            raise TrustError(
                "no keys here", where=str(folder), todo="make them first, or name another folder"
            )
        store._open_file(files[0])
        return store

    def add_model(self, model: str) -> PublicKey:
        """Make the key of a model unless it exists; returns its public half.

        Raises:
            UsageError: The name cannot name a model.
        """
        check_model_name(model)
        with locked(self.folder):
            if not self._file(model).exists():
                make_folder(self._file(model).parent, mode=0o700)
                write_durably(self._file(model), generate_pem(self._passphrase), mode=0o600)
        return self.public(model)

    def models(self) -> dict[str, PublicKey]:
        """Return the public key of every model that has one here."""
        return {file.stem: self.public(file.stem) for file in self._model_files()}

    def public(self, role: str) -> PublicKey:
        """Return the public key of `root`, `targets` or a model."""
        return public_key(self.signer(role))

    def signer(self, role: str) -> CryptoSigner:
        """Return the signer of `root`, `targets` or a model.

        Raises:
            TrustError: The key is not here, or the passphrase does not open it.
        """
        file = self._file(role)
        if not file.exists():
            raise TrustError(f"there is no key for {role!r}", where=str(self.folder))
        return self._open_file(file)

    def rotate(self, role: str) -> PublicKey:
        """Replace the key of a role; the old one is kept under retired/.

        Nothing trusts the new key until new metadata names it (`make_root`, `make_targets`).
        Targets that the old key signed are not extended any more: start them anew.
        """
        old = self._file(role)
        keyid = self.public(role).keyid
        with locked(self.folder):
            make_folder(self.folder / "retired", mode=0o700)
            write_durably(self._retired_file(keyid), read_bytes(old), mode=0o600)
            write_durably(old, generate_pem(self._passphrase), mode=0o600)
            if role != ROOT:
                known = self.versions()
                published = {name: n for name, n in known.published.items() if name != role}
                self._save(replace(known, published=published))
        self._signers.pop(old, None)
        return self.public(role)

    def retired_signer(self, keyid: str) -> CryptoSigner | None:
        """Return the signer of a key that was replaced, or None if it is not here."""
        file = self._retired_file(keyid)
        return self._open_file(file) if file.exists() else None

    def versions(self) -> KnownVersions:
        """Return what was signed and seen so far.

        Raises:
            FormatError: state.json is damaged.
        """
        file = self.folder / "state.json"
        if not file.exists():
            return KnownVersions()
        known = codec.decode(read_bytes(file), KnownVersions, where=str(file))
        codec.check_major(known.format_version, 1, where=str(file))
        return known

    def next_version(self, role: str, previous: int) -> int:
        """Return the version to sign next, and remember it before it is used.

        Args:
            role: Role that is about to be signed.
            previous: Version of the metadata it follows; 0 for the first.

        Raises:
            UntrustedError: A higher version than `previous` is known to be out (`rollback`).
        """
        with locked(self.folder):
            known = self.versions()
            if previous < known.published.get(role, 0):
                raise UntrustedError(
                    Reason.ROLLBACK,
                    f"version {previous} of {role!r} is older than version"
                    f" {known.published[role]}, which is out already",
                    where=str(self.folder),
                    todo="ask who runs the server why it hands out old metadata",
                )
            # A root follows its forerunner by exactly one: clients walk the chain.
            signed = previous if role == ROOT else max(previous, known.signed.get(role, 0))
            self._save(
                replace(
                    known,
                    signed={**known.signed, role: signed + 1},
                    published={**known.published, role: previous},
                )
            )
        return signed + 1

    def confirm_published(self, role: str, version: int) -> None:
        """Remember that a server took `version`; older ones are refused from now on."""
        with locked(self.folder):
            known = self.versions()
            highest = max(version, known.published.get(role, 0))
            self._save(replace(known, published={**known.published, role: highest}))

    def accept_restore(self) -> None:
        """Let older metadata be extended, because a server was restored from a backup.

        Versions signed so far stay remembered: what is signed next is above all that devices saw.
        """
        with locked(self.folder):
            self._save(replace(self.versions(), published={}))

    def _save(self, known: KnownVersions) -> None:
        write_durably(self.folder / "state.json", codec.encode(known), mode=0o600)

    def _open_file(self, file: Path) -> CryptoSigner:
        if file not in self._signers:
            self._signers[file] = open_pem(read_bytes(file), self._passphrase, where=str(file))
        return self._signers[file]

    def _file(self, role: str) -> Path:
        if role in (ROOT, TARGETS):
            return self.folder / f"{role}.pem"
        return self.folder / "models" / f"{check_model_name(role)}.pem"

    def _retired_file(self, keyid: str) -> Path:
        return self.folder / "retired" / f"{keyid}.pem"

    def _model_files(self) -> list[Path]:
        return sorted((self.folder / "models").glob("*.pem"))

    def _key_files(self) -> list[Path]:
        top = [self._file(role) for role in (ROOT, TARGETS)]
        return [file for file in top if file.exists()] + self._model_files()
