"""The error that only the domain raises. Everything else is in edgekit.errors."""

from __future__ import annotations

from edgekit.errors import ConflictError


class IllegalTransitionError(ConflictError):
    """What was asked for is not possible in the state that the thing is in.

    Attributes:
        state: The state that it is in.
        event: What was asked for or reported.
    """

    def __init__(self, state: str, event: str, *, where: str) -> None:
        self.state = state
        self.event = event
        super().__init__(f"{event!r} is not possible in state {state!r}", where=where)
