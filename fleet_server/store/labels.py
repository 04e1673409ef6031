"""Selectors as conditions of SQL over pairs that are stored as JSON text.

The rule is `Selector.matches`; a test compares both. Keys of labels hold no quotes.
"""

from __future__ import annotations

from sqlalchemy import Column, ColumnElement, Text, cast, func, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from fleet_server.domain.selector import Operator, Requirement, Selector


def text_of(column: Column[object], key: str, dialect: str) -> ColumnElement[str]:
    """Return the value of a key, NULL when there is none."""
    stored = type_coerce(column, Text)
    if dialect == "sqlite":
        return type_coerce(func.json_extract(stored, f'$."{key}"'), Text)
    value: ColumnElement[str] = cast(stored, JSONB)[key].astext
    return value


def where_labels(
    column: Column[object], selector: Selector, dialect: str
) -> list[ColumnElement[bool]]:
    """Return the conditions that a selector puts on a column of labels."""
    return [
        _condition(text_of(column, requirement.key, dialect), requirement)
        for requirement in selector.requirements
    ]


def _condition(value: ColumnElement[str], requirement: Requirement) -> ColumnElement[bool]:
    match requirement.operator:
        case Operator.IN:
            return value.in_(requirement.values)
        case Operator.NOT_IN:
            return value.is_(None) | value.not_in(requirement.values)
        case Operator.EXISTS:
            return value.is_not(None)
        case Operator.ABSENT:
            return value.is_(None)
