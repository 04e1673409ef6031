"""What people sign: root, top-level targets, and the targets of one model.

Bytes in, bytes out; only the key store's record of versions is written. Nothing here talks to a
server, and nothing that a server hands over is extended before its signature was checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from edgekit import codec
from edgekit.errors import ConflictError, StorageError, UsageError
from edgekit.trust.keys import OnlinePublicKeys, PublicKey
from edgekit.trust.keystore import KeyStore
from edgekit.trust.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    Role,
    Root,
    TargetFile,
    Targets,
    check_signed,
    digest,
    load,
)
from edgekit.trust.policy import (
    MODEL_LIFETIME,
    PREVIOUS,
    ROOT,
    ROOT_LIFETIME,
    SNAPSHOT,
    TARGETS,
    TARGETS_LIFETIME,
    TIMESTAMP,
    bundle_path,
    model_pattern,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEntry:
    """A bundle that somebody wants to sign; not trusted yet.

    Attributes:
        path: `models/<model>/<version>/<variant>.bundle`, as `bundle_path` makes it.
        length: Size in bytes.
        sha256: 64 lower case hexadecimal digits.
        custom: Signed with it; `model`, `version` and `variant` are required.
    """

    path: str
    length: int
    sha256: str
    custom: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_file(
        cls,
        file: Path,
        *,
        model: str,
        version: str,
        variant: str,
        requires: Mapping[str, Any] | None = None,
        foreign: bool = False,
    ) -> TargetEntry:
        """Measure a bundle on disk, or a file that is made for a foreign client.

        Raises:
            UsageError: model, version or variant cannot stand in a path.
            StorageError: The file cannot be read.
        """
        path = bundle_path(model=model, version=version, variant=variant)
        try:
            with file.open("rb") as opened:
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
                length = opened.tell()
        except OSError as error:
            raise StorageError(f"cannot be read: {error.strerror}", where=str(file)) from error
        custom: dict[str, Any] = {"model": model, "version": version, "variant": variant}
        if requires is not None:
            custom["requires"] = dict(requires)
        if foreign:
            custom["file"] = file.name
        return cls(path=path, length=length, sha256=sha256, custom=custom)


def make_root(
    keystore: KeyStore,
    online: OnlinePublicKeys,
    *,
    now: datetime,
    previous: bytes | None = None,
) -> bytes:
    """Sign a root that names this key store and a server's online keys; valid for 365 days.

    One root key signs alone (threshold 1). When the root key was replaced, the retired key that
    `previous` trusts signs as well, so that devices can follow.

    Args:
        keystore: Holds the root and the targets key.
        online: The server's public keys for snapshot and timestamp.
        now: Current time, UTC.
        previous: The root to replace; None for the first.

    Raises:
        UntrustedError: `previous` is not signed by its own keys, or is older than one known.
        TrustError: No key here may replace `previous`.
    """
    forerunner = None if previous is None else load(previous, Root, where="previous root").signed
    version = keystore.next_version(ROOT, 0 if forerunner is None else forerunner.version)
    keys = {
        ROOT: keystore.public(ROOT),
        TARGETS: keystore.public(TARGETS),
        SNAPSHOT: online.snapshot,
        TIMESTAMP: online.timestamp,
    }
    root = Root(
        version=version,
        expires=now + ROOT_LIFETIME,
        keys={key.keyid: key.for_metadata() for key in keys.values()},
        roles={role: Role([key.keyid], 1) for role, key in keys.items()},
        consistent_snapshot=True,
    )
    metadata = Metadata(root)
    metadata.sign(keystore.signer(ROOT))
    if forerunner is not None:
        for keyid in forerunner.roles[ROOT].keyids:
            if (retired := keystore.retired_signer(keyid)) is not None:
                metadata.sign(retired, append=True)
        check_signed(forerunner, ROOT, metadata, where="new root")
    return metadata.to_bytes()


def make_targets(
    keystore: KeyStore,
    models: Mapping[str, PublicKey],
    *,
    now: datetime,
    previous: bytes | None = None,
    removals: Sequence[str] = (),
) -> bytes:
    """Sign top-level targets that delegate each model to its key; valid for 365 days.

    Args:
        keystore: Holds the targets key.
        models: Public key by model name (`keystore.models()`, or keys that a CI holds), to add or
            to replace.
        now: Current time, UTC.
        previous: The metadata to extend; None for the first. Its other delegations stay.
        removals: Models whose delegation ends.

    Raises:
        UntrustedError: `previous` is not signed by our key, or older than one known.
        UsageError: A name cannot name a model.
    """
    before = _check_previous(keystore, TARGETS, previous)
    keys, roles = _delegations(before)
    for model in removals:
        roles.pop(model, None)
    for model, key in models.items():
        paths = [model_pattern(model)]
        roles[model] = DelegatedRole(model, [key.keyid], 1, terminating=True, paths=paths)
        keys[key.keyid] = key.for_metadata()
    used = {keyid for role in roles.values() for keyid in role.keyids}
    keys = {keyid: key for keyid, key in keys.items() if keyid in used}
    targets = Targets(
        version=keystore.next_version(TARGETS, before.version if before else 0),
        expires=now + TARGETS_LIFETIME,
        delegations=Delegations(keys, dict(sorted(roles.items()))),
        unrecognized_fields=_link(before, previous),
    )
    return _signed(keystore, TARGETS, targets)


def extend_model_targets(
    keystore: KeyStore,
    model: str,
    previous: bytes | None,
    additions: Sequence[TargetEntry],
    *,
    now: datetime,
    removals: Sequence[str] = (),
) -> bytes:
    """Sign the targets of one model: what was listed, with additions and without removals.

    Valid for 60 days; without additions and removals this renews it. Listing an entry again
    unchanged is allowed, so that a publish can be repeated.

    Args:
        keystore: Holds the model's key.
        model: Model name.
        previous: Metadata to extend, as the server has it; None for the first.
        additions: Bundles to list, all of this model.
        now: Current time, UTC.
        removals: Target paths to unlist (revoke).

    Raises:
        UntrustedError: `previous` is not signed by the model's key, or older than one known.
        UsageError: An entry belongs to another model, or a removal is not listed.
        ConflictError: A path is listed already with another content.
    """
    before = _check_previous(keystore, model, previous)
    listed = dict(before.targets) if before else {}
    for path in removals:
        if listed.pop(path, None) is None:
            raise UsageError(f"{path} is not listed", where=f"targets of {model}")
    for entry in additions:
        _add(listed, entry, model)
    targets = Targets(
        version=keystore.next_version(model, before.version if before else 0),
        expires=now + MODEL_LIFETIME,
        targets=dict(sorted(listed.items())),
        unrecognized_fields=_link(before, previous),
    )
    return _signed(keystore, model, targets)


def metadata_version(data: bytes) -> int:
    """Return the version inside metadata that we made ourselves, for `confirm_published`."""
    version: int = Metadata.from_bytes(data).signed.version
    return version


def _delegations(before: Targets | None) -> tuple[dict[str, Key], dict[str, DelegatedRole]]:
    if before is None or before.delegations is None:
        return {}, {}
    return dict(before.delegations.keys), dict(before.delegations.roles or {})


def _add(listed: dict[str, TargetFile], entry: TargetEntry, model: str) -> None:
    try:
        named = {name: str(entry.custom[name]) for name in ("model", "version", "variant")}
    except KeyError as error:
        raise UsageError(f"custom data lacks {error}", where=entry.path) from error
    if named["model"] != model or entry.path != bundle_path(**named):
        raise UsageError(f"does not belong to model {model!r}", where=entry.path)
    # As JSON holds it, so that a tuple equals the list that is read back.
    custom = codec.decode(codec.encode(dict(entry.custom)), dict[str, Any], where=entry.path)
    made = TargetFile(entry.length, {"sha256": entry.sha256}, entry.path, {"custom": custom})
    if listed.setdefault(entry.path, made) != made:
        raise ConflictError(
            "is listed already with another content", where=entry.path, todo="use a new version"
        )


def _check_previous(keystore: KeyStore, role: str, previous: bytes | None) -> Targets | None:
    """Return metadata that a server handed us, if one of our keys for `role` signed it."""
    if previous is None:
        return None
    where = f"previous targets of {role}"
    metadata = load(previous, Targets, where=where)
    trusted = Root()
    trusted.add_key(keystore.public(role).for_metadata(), TARGETS)
    check_signed(trusted, TARGETS, metadata, where=where)
    return metadata.signed


def _link(before: Targets | None, previous: bytes | None) -> dict[str, Any]:
    """Name the metadata that this one was made from, so that a server can see a lost update."""
    if before is None or previous is None:
        return {}
    return {PREVIOUS: {"version": before.version, "sha256": digest(previous)}}


def _signed(keystore: KeyStore, role: str, targets: Targets) -> bytes:
    metadata = Metadata(targets)
    metadata.sign(keystore.signer(role))
    return metadata.to_bytes()
