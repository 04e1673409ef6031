"""DDI: offers that somebody has to confirm before a device downloads them. Wire types only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from edgekit.protocol import Link


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoConfirmState:
    """DDI: whether offers need a confirmation of their own; time in milliseconds since 1970."""

    active: bool
    initiator: str | None = None
    remark: str | None = None
    activatedAt: int | None = None  # noqa: N815 (the protocol's name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationState:
    """DDI: answer of confirmationBase."""

    autoConfirm: AutoConfirmState  # noqa: N815 (the protocol's name)
    _links: dict[str, Link] = field(default_factory=dict)


class Confirmation(StrEnum):
    """DDI: what a device says about an action that waits for confirmation."""

    CONFIRMED = "confirmed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationFeedback:
    """DDI: body of POST confirmationBase/{id}/feedback."""

    confirmation: Confirmation
    code: int | None = None
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAutoConfirm:
    """DDI: body of POST confirmationBase/activateAutoConfirm; may be absent."""

    initiator: str = ""
    remark: str = ""
