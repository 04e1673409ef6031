"""Attributes that devices report: how they are merged and what they may hold.

Source: hawkBit DDI, `configData`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from edgekit.errors import UsageError

MAX_ATTRIBUTES = 100
_TEXT = re.compile(r"""[a-zA-Z0-9_\-!@#$%^&*()+=\[\]{}|;:'",.<>/\\?\s]{0,128}""")


class Mode(StrEnum):
    """How new attributes meet old ones."""

    MERGE = "merge"
    REPLACE = "replace"
    REMOVE = "remove"


def check_attributes(attributes: Mapping[str, str | None]) -> None:
    """Refuse keys and values that the protocol does not allow.

    Raises:
        UsageError: Too long, or of other characters.
    """
    for key, value in attributes.items():
        if not key or not _TEXT.fullmatch(key) or not _TEXT.fullmatch(value or ""):
            raise UsageError("an attribute holds other characters than allowed, or over 128")
    if len(attributes) > MAX_ATTRIBUTES:
        raise UsageError(f"more than {MAX_ATTRIBUTES} attributes")


def merge(old: Mapping[str, str], new: Mapping[str, str | None], mode: Mode) -> dict[str, str]:
    """Return the attributes after a report; a null value removes its key.

    Raises:
        UsageError: A key or value is not allowed, or there are too many.
    """
    check_attributes(new)
    if mode is Mode.REMOVE:
        return {key: value for key, value in old.items() if key not in new}
    base = {} if mode is Mode.REPLACE else dict(old)
    merged = {**base, **new}
    kept = {key: value for key, value in merged.items() if value is not None}
    check_attributes(kept)
    return kept
