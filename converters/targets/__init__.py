"""What a model can be lowered to: one module a target, found by the entry point group."""

from converters.targets.base import Target
from converters.targets.registry import find_variants

__all__ = ["Target", "find_variants"]
