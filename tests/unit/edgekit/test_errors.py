from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekit import errors
from edgekit.cli.entry import EXIT_BUG, EXIT_INTERRUPTED

CODES_PAGE = Path(__file__).resolve().parents[3] / "docs" / "exit-codes.md"
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.EdgeKitError)
}


def tree_of(text: str) -> dict[str, int]:
    return {name: int(code) for name, code in re.findall(r"([A-Z]\w+Error)\s+(\d+)\s", text)}


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    assert tree_of(errors.__doc__ or "") == {n: k.exit_code for n, k in CLASSES.items()}


def test_the_page_names_every_code_and_no_other():
    rows = re.findall(r"^\| (\d+) \| (?:`(\w+)`)? ?\|", CODES_PAGE.read_text(), re.MULTILINE)
    assert {name: int(code) for code, name in rows if name} == {
        name: kind.exit_code for name, kind in CLASSES.items()
    }
    assert {int(code) for code, name in rows if not name} == {0, EXIT_BUG, EXIT_INTERRUPTED}


def test_a_code_belongs_to_one_branch_of_the_tree():
    for one in CLASSES.values():
        for other in CLASSES.values():
            if one.exit_code == other.exit_code:
                assert issubclass(one, other) or issubclass(other, one)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (errors.UsageError("is wrong"), "is wrong"),
        (errors.UsageError("is wrong", where="a.toml"), "a.toml: is wrong"),
        (
            errors.UsageError("is wrong", where="a.toml", todo="correct it"),
            "a.toml: is wrong; correct it",
        ),
        (
            errors.MissingExtraError("torch", "convert"),
            "this needs 'torch', which is not installed; run: pip install 'edgekit[convert]'",
        ),
    ],
    ids=["what", "where", "todo", "extra"],
)
def test_an_error_is_one_line_of_where_what_and_todo(error, line):
    assert str(error) == line
