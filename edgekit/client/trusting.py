"""Install root and top-level targets on a server, signed here with the engineer's keys.

What a server has is extended, never replaced: models that others delegated stay delegated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from edgekit import codec
from edgekit.client.http import FleetClient
from edgekit.client.wire.trust import OnlineKeys, TrustView
from edgekit.errors import FormatError
from edgekit.trust.keys import OnlinePublicKeys, PublicKey
from edgekit.trust.keystore import KeyStore
from edgekit.trust.signing import make_root, make_targets, metadata_version

RENEW_BEFORE = timedelta(days=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What an installation changed.

    Attributes:
        root: True if new root metadata was signed.
        targets: True if new top-level targets metadata was signed.
        trust: What the server serves now.
    """

    root: bool
    targets: bool
    trust: TrustView


def install_trust(client: FleetClient, keystore: KeyStore, *, now: datetime) -> Installed:
    """Sign and upload what the server lacks: root, and a delegation for every model key here.

    Repeating it changes nothing, unless a key is new or metadata ends within 120 days.

    Raises:
        TrustError: The server's metadata was signed with other keys.
    """
    root = _install_root(client, keystore, now)
    targets = _install_targets(client, keystore, now)
    return Installed(root=root, targets=targets, trust=client.trust())


def online_public_keys(keys: OnlineKeys) -> OnlinePublicKeys:
    """Read the server's public keys as the signing side takes them.

    Raises:
        FormatError: A role or a field of a key is missing.
    """
    try:
        return OnlinePublicKeys(
            snapshot=_public(keys.keys["snapshot"]), timestamp=_public(keys.keys["timestamp"])
        )
    except (KeyError, TypeError) as error:
        raise FormatError(f"lacks {error}", where="the server's online keys") from error


def delegated_models(targets: bytes | None) -> dict[str, PublicKey]:
    """Return the models that top-level targets metadata delegates, with their keys.

    The signature is not checked here: the signing side and the server do.

    Raises:
        FormatError: This is no targets metadata.
    """
    if targets is None:
        return {}
    try:
        delegations = _signed(targets).get("delegations") or {"keys": {}, "roles": []}
        keys = {
            keyid: _public({**key, "keyid": keyid}) for keyid, key in delegations["keys"].items()
        }
        return {role["name"]: keys[role["keyids"][0]] for role in delegations["roles"]}
    except (LookupError, TypeError, AttributeError) as error:
        raise FormatError(f"lacks {error}", where="the server's targets metadata") from error


def _install_root(client: FleetClient, keystore: KeyStore, now: datetime) -> bool:
    online = online_public_keys(client.online_keys())
    previous = client.trust_metadata("root")
    wanted = {
        "root": keystore.public("root").keyid,
        "targets": keystore.public("targets").keyid,
        "snapshot": online.snapshot.keyid,
        "timestamp": online.timestamp.keyid,
    }
    if previous is not None and _root_keys(previous) == wanted and not _ends_soon(previous, now):
        return False
    root = make_root(keystore, online, now=now, previous=previous)
    client.put_root(root)
    keystore.confirm_published("root", metadata_version(root))
    return True


def _install_targets(client: FleetClient, keystore: KeyStore, now: datetime) -> bool:
    previous = client.trust_metadata("targets")
    delegated = delegated_models(previous)
    wanted = {**delegated, **keystore.models()}
    if previous is not None and wanted == delegated and not _ends_soon(previous, now):
        return False
    targets = make_targets(keystore, wanted, now=now, previous=previous)
    client.put_targets(targets)
    keystore.confirm_published("targets", metadata_version(targets))
    return True


def _root_keys(root: bytes) -> dict[str, str]:
    return {name: role["keyids"][0] for name, role in _signed(root)["roles"].items()}


def _ends_soon(metadata: bytes, now: datetime) -> bool:
    expires = datetime.fromisoformat(_signed(metadata)["expires"])
    return expires - now < RENEW_BEFORE


def _signed(metadata: bytes) -> dict[str, Any]:
    signed = codec.decode(metadata, dict[str, Any], where="trust metadata").get("signed")
    if not isinstance(signed, dict):
        raise FormatError("is no trust metadata")
    return signed


def _public(key: dict[str, Any]) -> PublicKey:
    return PublicKey(
        keyid=key["keyid"],
        public=key["keyval"]["public"],
        keytype=key["keytype"],
        scheme=key["scheme"],
    )
