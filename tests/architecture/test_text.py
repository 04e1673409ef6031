"""The project says nothing about the machine it was written on, and holds no long modules."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("edgekit", "converters", "device_agent", "fleet_server", "benchmarks")
MODULES = sorted(path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py"))
MAX_LINES = 400
MAX_FUNCTION_LINES = 60
_MACHINE = re.compile(r"/(?:work|root|home/\w+)/")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_module_is_short_documented_and_of_no_machine(module):
    text = module.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= MAX_LINES
    assert not _MACHINE.search(text)
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    if text.strip() and "migrations" not in module.parts:
        assert ast.get_docstring(tree), "a module says what it holds"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION_LINES, node.name
