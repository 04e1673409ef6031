"""The server's two keys: made here, and sealed by a secret before they are stored."""

from __future__ import annotations

from collections.abc import Mapping

from securesystemslib.signer import CryptoSigner

from edgekit.errors import TrustError
from edgekit.trust.keys import OnlinePublicKeys, generate_pem, open_pem, public_key, sealed_pem
from edgekit.trust.policy import SNAPSHOT, TIMESTAMP


class OnlineKeys:
    """The server's keys for snapshot and timestamp.

    A server has to restart alone, so it has their secret too. What a thief of both can do is
    bounded: withhold updates, or choose among what people signed and did not unlist.
    """

    def __init__(self, snapshot: CryptoSigner, timestamp: CryptoSigner) -> None:
        self.snapshot = snapshot
        self.timestamp = timestamp

    @classmethod
    def generate(cls) -> OnlineKeys:
        """Make both keys anew."""
        return cls(*(open_pem(generate_pem(None), None, where="new") for _ in range(2)))

    @classmethod
    def open(cls, pems: Mapping[str, bytes], secret: str | None) -> OnlineKeys:
        """Open both keys.

        Args:
            pems: PKCS #8 by role.
            secret: What they are encrypted by; None when they are not.

        Raises:
            TrustError: One is missing, is no key, or the secret is another.
        """
        missing = {SNAPSHOT, TIMESTAMP} - pems.keys()
        if missing:
            raise TrustError("this key is missing", where=", ".join(sorted(missing)))
        return cls(*(open_pem(pems[role], secret, where=role) for role in (SNAPSHOT, TIMESTAMP)))

    def sealed(self, secret: str) -> dict[str, bytes]:
        """Return both keys by role as PKCS #8, encrypted by a secret."""
        return {
            SNAPSHOT: sealed_pem(self.snapshot, secret),
            TIMESTAMP: sealed_pem(self.timestamp, secret),
        }

    def public(self) -> OnlinePublicKeys:
        """Return the public halves, for the engineer who makes the root."""
        return OnlinePublicKeys(
            snapshot=public_key(self.snapshot), timestamp=public_key(self.timestamp)
        )
