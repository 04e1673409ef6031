"""What a server says of itself, and of a request that it did not carry out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """RFC 9457: why a request was not carried out.

    Attributes:
        title: Short name of the kind of problem.
        status: HTTP status.
        detail: One clear line: what, where, what to do.
        code: Exit code of `edgekit.errors` that the command line ends with.
    """

    title: str
    status: int
    detail: str
    code: int = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """GET /health, without authentication."""

    status: str
    version: str
    trust_days_left: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeView:
    """GET and PUT /freeze: whether every offer is stopped, since when and by whom."""

    frozen: bool
    by: str = ""
    at: str | None = None
    reason: str = ""
