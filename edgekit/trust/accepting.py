"""What a server accepts from people: pure rules over bytes, without files and without keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from edgekit.errors import ConflictError, TrustError
from edgekit.trust.keys import OnlinePublicKeys
from edgekit.trust.metadata import (
    Metadata,
    Root,
    Targets,
    check_alive,
    check_signed,
    digest,
    load,
)
from edgekit.trust.policy import PREVIOUS, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, check_model_name
from edgekit.trust.reasons import Reason, UntrustedError


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """One consistent set of metadata.

    Attributes:
        root: Newest root.
        roles: Targets metadata by role: "targets" and the models.
        snapshot_version: Version of the snapshot over it; 0 before the first.
        timestamp_version: Version of the timestamp over that; 0 before the first.
    """

    root: bytes
    roles: Mapping[str, bytes]
    snapshot_version: int = 0
    timestamp_version: int = 0

    def get(self, role: str) -> bytes | None:
        """Return the metadata of "root", "targets" or a model."""
        return self.root if role == ROOT else self.roles.get(role)


def merge(current: PublishedSet | None, files: Mapping[str, bytes]) -> PublishedSet:
    """Return the set that would be current with `files` in it; no signature is checked.

    Raises:
        TrustError: There would be no root or no targets.
        UsageError: A name cannot name a model.
    """
    for role in files.keys() - {ROOT, TARGETS}:
        check_model_name(role)
    roles = {role: data for role, data in files.items() if role != ROOT}
    if current is not None:
        root = files.get(ROOT, current.root)
        return replace(current, root=root, roles={**current.roles, **roles})
    if ROOT not in files or TARGETS not in files:
        raise TrustError(
            "this server has no root and targets metadata yet",
            todo="publish both, signed by their keys, first",
        )
    return PublishedSet(root=files[ROOT], roles=roles)


def check(
    proposed: PublishedSet,
    new: Mapping[str, bytes],
    current: PublishedSet | None,
    *,
    online: OnlinePublicKeys,
    now: datetime,
) -> None:
    """Check that devices would accept `proposed`, and that nothing published gets lost.

    Args:
        proposed: The whole set, as `merge` made it.
        new: The files in it that are not current.
        current: What is published; None before the first.
        online: The public keys of this server.
        now: Current time, UTC.

    Raises:
        UntrustedError: A signature is missing or wrong, or a date has passed.
        ConflictError: A file was not made from what is current.
        TrustError: The root names other online keys than this server's.
    """
    root = load(proposed.root, Root, where=ROOT)
    check_signed(root.signed, ROOT, root, where=ROOT)
    if ROOT in new:
        check_alive(root.signed, now=now, where=ROOT)
        if current is not None:
            _check_root_follows(root, load(current.root, Root, where="current root").signed)
    _check_online_keys(root.signed, online)
    targets = load(proposed.roles[TARGETS], Targets, where=TARGETS)
    check_signed(root.signed, TARGETS, targets, where=TARGETS)
    delegated = delegated_models(targets.signed)
    for role in new.keys() - {ROOT, TARGETS} | (proposed.roles.keys() & delegated):
        metadata = load(proposed.roles[role], Targets, where=role)
        check_signed(targets.signed, role, metadata, where=role)
    for role in new.keys() - {ROOT}:
        signed = load(new[role], Targets, where=role).signed
        check_alive(signed, now=now, where=role)
        if current is not None and (before := current.roles.get(role)) is not None:
            delegator = root.signed if role == TARGETS else targets.signed
            _check_extends(role, signed, before, delegator)


def delegated_models(targets: Targets) -> frozenset[str]:
    """Return the names of the models that top-level targets delegate."""
    delegations = targets.delegations
    return frozenset((delegations.roles if delegations else None) or ())


def _check_online_keys(root: Root, online: OnlinePublicKeys) -> None:
    for role, key in ((SNAPSHOT, online.snapshot), (TIMESTAMP, online.timestamp)):
        if root.roles[role].keyids != [key.keyid]:
            raise TrustError(
                f"names another key for {role!r} than this server's",
                where=ROOT,
                todo="ask this server for its public keys and sign the root again",
            )


def _check_root_follows(root: Metadata[Root], current: Root) -> None:
    """A new root is one version higher and signed by the keys of the one it replaces."""
    if root.signed.version != current.version + 1:
        raise ConflictError(
            f"version {root.signed.version} does not follow version {current.version}",
            where=ROOT,
            todo="fetch the current root and sign again",
        )
    check_signed(current, ROOT, root, where=ROOT)


def _check_extends(role: str, new: Targets, current: bytes, delegator: Root | Targets) -> None:
    """New targets have a higher version and were made from exactly what is current.

    Where the key was replaced, the current metadata counts no longer and need not be extended.
    """
    before = load(current, Targets, where=role)
    based_on = new.unrecognized_fields.get(PREVIOUS)
    extends = isinstance(based_on, dict) and based_on.get("sha256") == digest(current)
    if new.version <= before.signed.version or not (
        extends or _key_replaced(role, before, delegator)
    ):
        raise ConflictError(
            f"version {new.version} was not made from version {before.signed.version}, which is"
            " current",
            where=role,
            todo="fetch the current metadata and sign again",
        )


def _key_replaced(role: str, before: Metadata[Targets], delegator: Root | Targets) -> bool:
    try:
        check_signed(delegator, role, before, where=role)
    except UntrustedError as error:
        if error.reason is Reason.UNSIGNED:
            return True
        raise
    return False
