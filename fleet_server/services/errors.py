"""Refusals that the server tells apart; the API maps each to an HTTP status."""

from __future__ import annotations

from edgekit.errors import ConflictError, RefusedError, StorageError


class UnknownCallerError(RefusedError):
    """A token is missing, unknown, expired or used up."""


class NotFoundError(RefusedError):
    """There is no such device, release, rollout, action or file."""


class GoneError(RefusedError):
    """The action is closed already; what was said about it changes nothing."""


class TooLargeError(RefusedError):
    """A body is larger than the server takes."""


class UnavailableError(StorageError):
    """The database or the bucket does not answer now; the same request may work soon."""


class BusyError(RefusedError):
    """The server has too much to do; the same request may work soon."""


class UnknownFormatError(RefusedError):
    """A body is of a media type that the server does not read."""


class SlowError(RefusedError):
    """The caller takes too long."""


class TooManyError(RefusedError):
    """A caller asks or says too much; it shall come again later, or less often.

    Attributes:
        wait_s: Whole seconds until it may; 0 where nobody can say.
    """

    def __init__(self, what: str, *, where: str = "", wait_s: int = 0) -> None:
        super().__init__(what, where=where)
        self.wait_s = wait_s


class GuessingError(TooManyError):
    """Too many wrong passwords came before this one; it is not looked at."""


class ChangedError(ConflictError):
    """Somebody else changed the thing since the caller read it.

    Attributes:
        tag: State of the thing now, as an entity tag without quotes.
    """

    def __init__(self, what: str, *, where: str = "", todo: str = "", tag: str = "") -> None:
        super().__init__(what, where=where, todo=todo)
        self.tag = tag
