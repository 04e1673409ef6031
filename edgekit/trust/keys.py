"""Ed25519 keys as PEM and as TUF sees them. Touches no files.

Private keys are PKCS #8, encrypted where a person holds them.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from edgekit.errors import TrustError


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key as it stands in metadata; safe to send.

    Attributes:
        keyid: Its name in metadata, a digest of the other fields.
        public: 32 bytes as 64 hexadecimal digits.
        keytype: Kind of key.
        scheme: Kind of signature.
    """

    keyid: str
    public: str
    keytype: str = "ed25519"
    scheme: str = "ed25519"

    def for_metadata(self) -> SSlibKey:
        """Return the form that tuf's classes take."""
        return SSlibKey(self.keyid, self.keytype, self.scheme, {"public": self.public})


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlinePublicKeys:
    """The public keys of the two roles that a server signs."""

    snapshot: PublicKey
    timestamp: PublicKey


def public_key(signer: CryptoSigner) -> PublicKey:
    """Return the public half of a signer."""
    key = signer.public_key
    return PublicKey(
        keyid=key.keyid, public=key.keyval["public"], keytype=key.keytype, scheme=key.scheme
    )


def generate_pem(passphrase: str | None) -> bytes:
    """Make a new private key.

    Args:
        passphrase: Encrypts it; None leaves it readable, for keys that a server must open alone.
    """
    lock = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def sealed_pem(signer: CryptoSigner, passphrase: str) -> bytes:
    """Return a signer's private key, encrypted by a passphrase."""
    key = load_pem_private_key(signer.private_bytes, None)
    lock = BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def open_pem(pem: bytes, passphrase: str | None, *, where: str) -> CryptoSigner:
    """Return a signer for a private key.

    Raises:
        TrustError: The passphrase is wrong or missing, or this is no Ed25519 private key.
    """
    secret = None if passphrase is None else passphrase.encode()
    try:
        key = load_pem_private_key(pem, secret)
    except TypeError as error:
        said = "is not encrypted" if secret is not None else "needs a passphrase"
        raise TrustError(f"this key {said}", where=where) from error
    except ValueError as error:
        raise TrustError(
            "wrong passphrase, or not a private key", where=where, todo="try the passphrase again"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TrustError("not an Ed25519 key", where=where)
    return CryptoSigner(key)
