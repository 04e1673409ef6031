"""Column types: UTC times and coded values. The one place that knows how they are stored."""

from __future__ import annotations

from dataclasses import is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.types import TypeDecorator

from edgekit import codec
from fleet_server.domain.selector import Selector, parse_selector


@lru_cache(maxsize=1024)
def _decoded(text: str, kind: Any) -> Any:  # noqa: ANN401 (a type and one of it)
    return codec.decode(text, kind, where="database")


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone outside and without one inside the database, always UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (signature of SQLAlchemy)
        """Drop the zone after turning to UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (signature of SQLAlchemy)
        """Put the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Coded(TypeDecorator[Any]):
    """A dataclass or mapping as canonical JSON text.

    Args:
        kind: Type to read it back as; unknown fields of a newer writer are ignored.
    """

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 (a type or a generic alias)
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:  # noqa: ARG002 (signature of SQLAlchemy)
        """Encode."""
        return None if value is None else codec.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ANN401, ARG002 (signature of SQLAlchemy)
        """Decode; a dataclass that many rows share, such as a profile, only once."""
        if value is None:
            return None
        if isinstance(self.kind, type) and is_dataclass(self.kind):
            return _decoded(value, self.kind)
        return codec.decode(value, self.kind, where="database")


class SelectorText(TypeDecorator[Selector]):
    """A selector as people write it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Selector | None, dialect: Dialect) -> str | None:  # noqa: ARG002 (signature of SQLAlchemy)
        """Write it."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Selector | None:  # noqa: ARG002 (signature of SQLAlchemy)
        """Read it."""
        return None if value is None else parse_selector(value)


class Word(TypeDecorator[Any]):
    """A member of a StrEnum as its value.

    Args:
        kind: The enum.
    """

    impl = String
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__(16)
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002 (signature of SQLAlchemy)
        """Write it."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002 (signature of SQLAlchemy)
        """Read it."""
        return None if value is None else self.kind(value)
