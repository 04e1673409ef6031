from __future__ import annotations

import pytest

from edgekit import codec
from edgekit.client.problems import error_of
from edgekit.client.wire.server import Problem
from edgekit.errors import (
    ConflictError,
    EdgeKitError,
    FormatError,
    NetworkError,
    RefusedError,
    StorageError,
    TrustError,
    UsageError,
)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, 21, RefusedError),
        (404, 21, RefusedError),
        (409, 22, ConflictError),
        (409, 21, ConflictError),
        (422, 2, UsageError),
        (422, 14, FormatError),
        (422, 15, TrustError),
        (507, 24, StorageError),
        (422, 999, RefusedError),
        (500, 1, NetworkError),
    ],
)
def test_a_problem_becomes_the_error_of_its_code(status, code, kind):
    problem = Problem(title="t", status=status, detail="digits 1.0.0: is there already", code=code)
    error = error_of(status, codec.encode(problem), where="http://host")
    assert type(error) is kind
    assert str(error) == "digits 1.0.0: is there already"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, NetworkError),
        (401, RefusedError),
        (404, RefusedError),
        (409, ConflictError),
        (500, NetworkError),
        (502, NetworkError),
        (507, StorageError),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"detail":"x"}', b"\xff"])
def test_an_answer_without_a_problem_becomes_the_error_of_its_status(status, kind, body):
    error = error_of(status, body, where="http://host/x")
    assert type(error) is kind
    assert str(error).startswith("http://host/x: ")
    assert "\n" not in str(error)


def test_a_refused_token_says_where_to_look():
    assert "--token-file" in error_of(401, b"", where="http://host").todo


def test_every_error_has_an_exit_code_that_the_shell_can_tell_from_success():
    assert isinstance(error_of(418, b"", where="x"), EdgeKitError)
    assert error_of(418, b"", where="x").exit_code == RefusedError.exit_code
