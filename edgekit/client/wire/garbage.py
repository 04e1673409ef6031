"""Wire types of garbage collection, under /api/v1/garbage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageBundle:
    """One bundle that nobody needs.

    Attributes:
        digest: SHA-256, hex.
        size: Bytes.
        release: Model, version and variant; empty when no release names it.
    """

    digest: str
    size: int
    release: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageView:
    """GET and POST /garbage: what nobody needs, or what was taken away.

    Attributes:
        collected: It was taken away.
        bundles: The bundles.
        deltas: How many deltas between bundles.
        bytes: Of bundles and deltas together.
        unfinished_bytes: Of uploads that were given up; 0 unless collected.
    """

    collected: bool
    bundles: tuple[GarbageBundle, ...] = ()
    deltas: int = 0
    bytes: int = 0
    unfinished_bytes: int = 0
