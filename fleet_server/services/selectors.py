"""Labels and selectors: `site=osaka,tier=a` matches a device that has both pairs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgekit.errors import UsageError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_VALUE = re.compile(r"[A-Za-z0-9._-]{0,63}")


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that no selector could name.

    Raises:
        UsageError: Names the label.
    """
    for key, value in labels.items():
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            raise UsageError(
                f"{key[:80]!r} cannot be a label with that value",
                todo="use letters, digits, '.', '_' and '-', up to 63",
            )


def parse_selector(selector: object) -> dict[str, str]:
    """Read `k=v,k2=v2` or a mapping; empty matches every device.

    Raises:
        UsageError: It is something else.
    """
    if selector is None:
        return {}
    if isinstance(selector, str):
        parts = [part.strip() for part in selector.split(",") if part.strip()]
        pairs = [part.partition("=") for part in parts]
        if not all(sep for _, sep, _ in pairs):
            raise UsageError("a selector is written like 'site=osaka,tier=a'", where="selector")
        mapping = {key.strip(): value.strip() for key, _, value in pairs}
    elif isinstance(selector, Mapping) and all(
        isinstance(k, str) and isinstance(v, str) for k, v in selector.items()
    ):
        mapping = dict(selector)
    else:
        raise UsageError("a selector is text or pairs of text", where="selector")
    check_labels(mapping)
    return mapping


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Say whether a device with these labels is selected."""
    return selector.items() <= labels.items()


def intersect(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Say whether a device could match both: no label is asked for with two values."""
    return all(other.get(key, value) == value for key, value in one.items())
