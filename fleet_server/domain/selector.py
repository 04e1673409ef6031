"""Selectors over labels, in Kubernetes' syntax: `site=osaka,tier in (a,b),!legacy`.

All requirements must hold. A device without a label matches `!=` and `notin`, as in Kubernetes.

Source: Kubernetes documentation, "Labels and Selectors".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from edgekit.errors import UsageError

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
VALUE = re.compile(r"[A-Za-z0-9._-]{0,63}")
_SET = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_PARTS = re.compile(r"(?:[^,()]|\([^()]*\))+")
_HOW = "write it like 'site=osaka,tier in (a,b),!legacy'"


class Operator(StrEnum):
    """What a requirement asks of a label."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One part of a selector.

    Attributes:
        key: Name of the label.
        operator: What is asked of it.
        values: Sorted, of IN and NOT_IN at least one.
    """

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels meet it."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None

    def __str__(self) -> str:
        if self.operator is Operator.EXISTS:
            return self.key
        if self.operator is Operator.ABSENT:
            return f"!{self.key}"
        if len(self.values) == 1:
            sign = "=" if self.operator is Operator.IN else "!="
            return f"{self.key}{sign}{self.values[0]}"
        return f"{self.key} {self.operator.value} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Requirements that a device's labels must meet, all of them; none matches every device."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether a device with these labels is selected."""
        return all(requirement.holds(labels) for requirement in self.requirements)

    def __and__(self, other: Selector) -> Selector:
        return Selector(requirements=self.requirements + other.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING = Selector()


def parse_selector(selector: object) -> Selector:
    """Read a selector from text, or from a mapping of labels to their values.

    Raises:
        UsageError: It is something else, or nothing could ever match it.
    """
    if selector is None:
        return EVERYTHING
    if isinstance(selector, Mapping):
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in selector.items()):
            raise UsageError("a selector is text or pairs of text", where="selector")
        found = Selector(requirements=tuple(_equal(k, v) for k, v in selector.items()))
    elif isinstance(selector, str):
        text = selector.strip()
        if _PARTS.sub("", text).strip(",") or "(,)" in text.replace(" ", ""):
            raise UsageError(f"{text[:80]!r} is no selector", where="selector", todo=_HOW)
        parts = [part.strip() for part in _PARTS.findall(text)]
        found = Selector(requirements=tuple(_requirement(part) for part in parts if part))
    else:
        raise UsageError("a selector is text or pairs of text", where="selector")
    if not intersect(found, EVERYTHING):
        raise UsageError(f"nothing can match '{found}'", where="selector")
    return found


@lru_cache(maxsize=4096)
def read_selector(text: str) -> Selector:
    """Return a selector that was checked before; remembered, because many devices ask."""
    return parse_selector(text)


def intersect(one: Selector, other: Selector) -> bool:
    """Say whether some labels could meet both."""
    by_key: dict[str, list[Requirement]] = defaultdict(list)
    for requirement in (one & other).requirements:
        by_key[requirement.key].append(requirement)
    return all(_satisfiable(requirements) for requirements in by_key.values())


def _satisfiable(requirements: list[Requirement]) -> bool:
    """Say whether one label, or its absence, could meet requirements of one key."""
    operators = {requirement.operator for requirement in requirements}
    if not operators & {Operator.IN, Operator.EXISTS}:
        return True
    if Operator.ABSENT in operators:
        return False
    allowed = [set(r.values) for r in requirements if r.operator is Operator.IN]
    refused = {v for r in requirements if r.operator is Operator.NOT_IN for v in r.values}
    return not allowed or bool(set.intersection(*allowed) - refused)


def _requirement(part: str) -> Requirement:
    if found := _SET.fullmatch(part):
        key, operator, inside = found.groups()
        values = sorted({value.strip() for value in inside.split(",")})
        return _checked(Requirement(key=key, operator=Operator(operator), values=tuple(values)))
    if "!=" in part:
        key, _, value = part.partition("!=")
        refused = Requirement(key=key.strip(), operator=Operator.NOT_IN, values=(value.strip(),))
        return _checked(refused)
    if "=" in part:
        key, _, value = part.replace("==", "=", 1).partition("=")
        return _equal(key.strip(), value.strip())
    if part.startswith("!"):
        return _checked(Requirement(key=part[1:].strip(), operator=Operator.ABSENT))
    return _checked(Requirement(key=part, operator=Operator.EXISTS))


def _equal(key: str, value: str) -> Requirement:
    return _checked(Requirement(key=key, operator=Operator.IN, values=(value,)))


def _checked(requirement: Requirement) -> Requirement:
    values = all(VALUE.fullmatch(value) for value in requirement.values)
    if not KEY.fullmatch(requirement.key) or not values:
        raise UsageError(f"{str(requirement)[:80]!r} is no selector", where="selector", todo=_HOW)
    return requirement
