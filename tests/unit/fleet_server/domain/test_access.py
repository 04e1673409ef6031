"""Who may do what: the table, and that whatever it does not name is closed."""

from __future__ import annotations

import pytest

from fleet_server.domain.access import Permission, Role, allows, narrows, needed

P = Permission


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "devices", P.VIEW),
        ("HEAD", "blobs/ab", P.VIEW),
        ("GET", "rollouts/r1", P.VIEW),
        ("POST", "rollouts/plan", P.VIEW),
        ("POST", "rollouts/plan/abort", P.OPERATE),
        ("POST", "rollouts", P.OPERATE),
        ("PUT", "devices/d1/labels", P.OPERATE),
        ("POST", "enrolment-tokens", P.OPERATE),
        ("PUT", "blobs/ab", P.PUBLISH),
        ("POST", "releases/m/1/withdraw", P.PUBLISH),
        ("PUT", "trust/root", P.ADMINISTER),
        ("GET", "accounts", P.ADMINISTER),
        ("GET", "tokens", P.ADMINISTER),
        ("GET", "audit", P.ADMINISTER),
        ("GET", "/audit", P.ADMINISTER),
        ("POST", "", P.ADMINISTER),
        ("POST", "something/new", P.ADMINISTER),
        ("DELETE", "/metrics", P.ADMINISTER),
    ],
)
def test_a_request_needs_what_the_table_says(
    method: str, path: str, permission: Permission
) -> None:
    assert needed(method, path) is permission


def test_an_admin_may_everything_and_a_viewer_only_looks() -> None:
    assert all(allows(Role.ADMIN, permission) for permission in P)
    assert [p for p in P if allows(Role.VIEWER, p)] == [P.VIEW]


def test_a_token_never_widens_its_account() -> None:
    for own in Role:
        for wanted in Role:
            widens = any(allows(wanted, p) and not allows(own, p) for p in P)
            assert narrows(wanted, own) is not widens
