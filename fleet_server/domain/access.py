"""Roles of people and CI, what each may do, and what a request needs. Pure.

            view  operate  publish  administer
viewer       x
operator     x       x
publisher    x                x
admin        x       x        x         x

What no rule names needs `administer`: a route that somebody adds is closed until it is listed.
"""

from __future__ import annotations

from enum import StrEnum

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Permission(StrEnum):
    """Something that a role may do."""

    VIEW = "view"
    OPERATE = "operate"
    PUBLISH = "publish"
    ADMINISTER = "administer"


class Role(StrEnum):
    """What an account or a token is for. Stored; never renamed."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    PUBLISHER = "publisher"
    ADMIN = "admin"


PERMITS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.OPERATOR: frozenset({Permission.VIEW, Permission.OPERATE}),
    Role.PUBLISHER: frozenset({Permission.VIEW, Permission.PUBLISH}),
    Role.ADMIN: frozenset(Permission),
}

_SECRET = frozenset({"accounts", "tokens", "audit"})
_CHANGES = {
    "devices": Permission.OPERATE,
    "enrolment-tokens": Permission.OPERATE,
    "freeze": Permission.OPERATE,
    "rollouts": Permission.OPERATE,
    "fleet": Permission.OPERATE,
    "experiments": Permission.OPERATE,
    "labels": Permission.OPERATE,
    "benchmarks": Permission.OPERATE,
    "blobs": Permission.PUBLISH,
    "releases": Permission.PUBLISH,
    "garbage": Permission.PUBLISH,
}
_QUESTIONS = frozenset({("rollouts", "plan")})


def allows(role: Role, permission: Permission) -> bool:
    """Say whether a role may do something."""
    return permission in PERMITS[role]


def narrows(wanted: Role, own: Role) -> bool:
    """Say whether a token of role `wanted` gives nothing that an account of role `own` lacks."""
    return PERMITS[wanted] <= PERMITS[own]


def needed(method: str, path: str) -> Permission:
    """Return what a request of the management API needs.

    Args:
        method: Upper case.
        path: Behind the API's prefix, such as "rollouts/r1/abort".
    """
    parts = tuple(part for part in path.split("/") if part)
    first = parts[0] if parts else ""
    if first in _SECRET:
        return Permission.ADMINISTER
    if method in SAFE_METHODS or parts in _QUESTIONS:
        return Permission.VIEW
    return _CHANGES.get(first, Permission.ADMINISTER)
