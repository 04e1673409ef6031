"""Finds targets by entry point, and variants by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from converters.quantize import Recipe
from converters.targets.base import Target
from edgekit.errors import UsageError

GROUP = "edgekit.targets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One thing to convert to.

    Attributes:
        target: The family of files.
        recipe: How numbers are stored.
    """

    target: Target
    recipe: Recipe

    @property
    def name(self) -> str:
        """Name of the variant: target, hyphen, recipe."""
        return f"{self.target.name}-{self.recipe.name}"


def find_variants(names: Sequence[str]) -> tuple[Variant, ...]:
    """Return the variants of these names, in order, loading only the targets that are named.

    Raises:
        UsageError: No installed target has a variant of that name.
    """
    return tuple(_find(name) for name in names)


def _find(name: str) -> Variant:
    target_name, _, recipe_name = name.partition("-")
    points = {point.name: point for point in entry_points(group=GROUP)}
    if target_name not in points:
        raise UsageError(
            f"{name!r} is no variant",
            where="--target",
            todo=f"targets here: {', '.join(sorted(points)) or 'none'}",
        )
    target: Target = points[target_name].load()
    for recipe in target.recipes:
        if recipe.name == recipe_name:
            return Variant(target=target, recipe=recipe)
    known = ", ".join(f"{target.name}-{recipe.name}" for recipe in target.recipes)
    raise UsageError(f"{name!r} is no variant", where="--target", todo=f"choose from {known}")
