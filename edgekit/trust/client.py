"""One run of tuf's client over a folder: our fetcher in, our errors out, the time given to it.

Does not decide which folder counts and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from edgekit.errors import NetworkError, StorageError
from edgekit.trust.reasons import Reason, UntrustedError

Fetch = Callable[[str, int], bytes | None]
"""fetch(path, max_length): a metadata file by its path below the metadata folder, None if the
server has none. May return one byte more than `max_length` to say that there is more. Raises
NetworkError or RefusedError."""

_LIMITS: Final = UpdaterConfig(prefix_targets_with_hash=False)
_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (ExpiredMetadataError, Reason.EXPIRED),
    (BadVersionNumberError, Reason.ROLLBACK),
    (UnsignedMetadataError, Reason.UNSIGNED),
    (LengthOrHashMismatchError, Reason.MISMATCH),
    (DownloadLengthMismatchError, Reason.MISMATCH),
)


class _Fetcher(FetcherInterface):
    """Hands tuf's requests to a `Fetch`; metadata only, never a target."""

    def __init__(self, fetch: Fetch) -> None:
        self._get = fetch

    def _fetch(self, url: str) -> Iterator[bytes]:
        return iter((self.download_bytes(url, _LIMITS.targets_max_length),))

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return the file, never more than `max_length` bytes."""
        path = url.removeprefix("/")
        data = self._get(path, max_length)
        if data is None:
            raise DownloadHTTPError(f"the server has no {path}", 404)
        if len(data) > max_length:
            raise DownloadLengthMismatchError(f"{path} is larger than {max_length} bytes")
        return data


@contextmanager
def tuf_errors(where: str) -> Iterator[None]:
    """Turn tuf's errors into ours: a reason where trust is refused, else the network.

    Raises:
        UntrustedError: With the reason.
        NetworkError: The server lacks a file that it must have.
        StorageError: A file cannot be written or read.
    """
    try:
        yield
    except (RepositoryError, DownloadError) as error:
        for kind, reason in _REASONS:
            if isinstance(error, kind):
                raise UntrustedError(reason, str(error), where=where) from error
        if isinstance(error, DownloadError):
            raise NetworkError(str(error), where=where) from error
        raise UntrustedError(Reason.INVALID, str(error), where=where) from error
    except OSError as error:
        raise StorageError(f"cannot be used: {error.strerror}", where=where) from error


def open_updater(work: Path, root: bytes, fetch: Fetch, *, at: datetime) -> Updater:
    """Return tuf's client over `work`, trusting `root`, judging expiry at the time `at`."""
    updater = Updater(str(work), "/", fetcher=_Fetcher(fetch), config=_LIMITS, bootstrap=root)
    # tuf reads the clock of the machine by itself and has no argument for it.
    updater._trusted_set.reference_time = at  # noqa: SLF001 (tuf is pinned; a test watches this)
    return updater
