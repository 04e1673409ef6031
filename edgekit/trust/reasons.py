"""Why something is not trusted: one word that an agent can report and a program can compare.

The words are stored and sent; they are never renamed.
"""

from __future__ import annotations

from enum import StrEnum

from edgekit.errors import TrustError


class Reason(StrEnum):
    """Why a refresh or a target was refused."""

    EXPIRED = "expired"
    """Metadata is past its date: a frozen or neglected repository."""
    CLOCK_SUSPECT = "clock_suspect"
    """Newer metadata, valid when last we knew the time, and a clock that nobody set."""
    ROLLBACK = "rollback"
    """A version lower than one seen before: an old repository is replayed."""
    UNSIGNED = "unsigned"
    """Not signed by enough of the keys that may sign it."""
    MISMATCH = "mismatch"
    """Length or digest differ from what was signed."""
    INVALID = "invalid"
    """Not readable as metadata, or it contradicts itself."""
    NOT_LISTED = "not_listed"
    """No trusted role lists the path."""
    WRONG_MODEL = "wrong_model"
    """Listed, but for another model, version or variant than was asked for."""
    DAMAGED = "damaged"
    """The device's own trust folder was altered or lost a file."""
    UNPINNED = "unpinned"
    """The device has no root of trust yet."""
    UNAVAILABLE = "unavailable"
    """The server did not answer, or does not have a file that it must have."""


class UntrustedError(TrustError):
    """A device refuses metadata or a target, for a reason that can be reported.

    Attributes:
        reason: The word for it.
    """

    def __init__(self, reason: Reason, what: str, *, where: str = "", todo: str = "") -> None:
        self.reason = reason
        super().__init__(what, where=where, todo=todo)
