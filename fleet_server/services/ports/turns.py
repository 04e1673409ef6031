"""Whose turn it is among processes."""

from __future__ import annotations

from typing import Protocol


class Turn(Protocol):
    """A lock between processes that ends with its holder."""

    def mine(self) -> bool:
        """Take the lock if it is free; say whether it is held here."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...
