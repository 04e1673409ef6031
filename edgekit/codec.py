"""Dataclasses to canonical JSON and back: the one reader and writer of files and messages.

Readers accept unknown fields, so that a newer writer can add optional ones, and refuse unknown
major versions of a format. Canonical means: sorted keys, no white space, UTF-8; equal values
give equal bytes.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from edgekit.errors import FormatError

T = TypeVar("T")


def encode(value: Any) -> bytes:  # noqa: ANN401 (any dataclass or JSON value)
    """Return the canonical JSON of a dataclass, mapping or sequence."""
    return msgspec.json.encode(value, order="sorted")


def decode(data: bytes | str, kind: type[T], *, where: str) -> T:
    """Read JSON into `kind`, checking every type on the way.

    Raises:
        FormatError: The bytes are no JSON or do not match `kind`; the message names the field.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not a valid {kind.__name__}: {error}", where=where) from error
    except RecursionError as error:
        raise FormatError(f"not a valid {kind.__name__}: nested too deep", where=where) from error


def convert(value: object, kind: type[T], *, where: str) -> T:
    """Turn decoded JSON or TOML (mappings and lists) into `kind`, checking every type.

    Raises:
        FormatError: The value does not match `kind`; the message names the field.
    """
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        raise FormatError(f"not a valid {kind.__name__}: {error}", where=where) from error


def plain(value: object) -> Any:  # noqa: ANN401 (JSON)
    """Return `value` as mappings, lists, strings and numbers."""
    return msgspec.to_builtins(value)


def check_major(version: str, supported: int, *, where: str) -> None:
    """Refuse a format version ("major.minor") whose major number is not `supported`.

    Raises:
        FormatError: Unknown major version, or not a version at all.
    """
    major = version.partition(".")[0]
    if major != str(supported):
        raise FormatError(
            f"format version {version!r} is unknown (this EdgeKit reads {supported}.x)",
            where=where,
            todo="update EdgeKit on this machine",
        )
