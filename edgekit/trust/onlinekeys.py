"""The server's two keys, in files that it can open alone."""

from __future__ import annotations

from pathlib import Path

from securesystemslib.signer import CryptoSigner

from edgekit.durable import locked, make_folder, read_bytes, write_durably
from edgekit.trust.keys import OnlinePublicKeys, generate_pem, open_pem, public_key
from edgekit.trust.policy import SNAPSHOT, TIMESTAMP


class OnlineKeys:
    """The server's keys for snapshot and timestamp: files 0600, without a passphrase.

    They are unencrypted because a server must restart alone. What their thief can do is bounded:
    withhold updates, or choose among what people signed and did not unlist.
    """

    def __init__(self, snapshot: CryptoSigner, timestamp: CryptoSigner) -> None:
        self.snapshot = snapshot
        self.timestamp = timestamp

    @classmethod
    def create(cls, folder: Path) -> OnlineKeys:
        """Make both keys in `folder`, or open them if they exist; durable on return.

        Raises:
            StorageError: The folder cannot be written.
        """
        make_folder(folder, mode=0o700)
        with locked(folder):
            for role in (SNAPSHOT, TIMESTAMP):
                if not (folder / f"{role}.pem").exists():
                    write_durably(folder / f"{role}.pem", generate_pem(None), mode=0o600)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> OnlineKeys:
        """Open both keys.

        Raises:
            StorageError: A file is missing.
            TrustError: A file is not a key.
        """
        files = (folder / f"{SNAPSHOT}.pem", folder / f"{TIMESTAMP}.pem")
        return cls(*(open_pem(read_bytes(file), None, where=str(file)) for file in files))

    def public(self) -> OnlinePublicKeys:
        """Return the public halves, for the engineer who makes the root."""
        return OnlinePublicKeys(
            snapshot=public_key(self.snapshot), timestamp=public_key(self.timestamp)
        )
