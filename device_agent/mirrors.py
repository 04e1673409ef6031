"""The whole bundle: from a mirror that the server names, or from the server itself.

A mirror gets no token, and nothing that it does ends an update: its bytes are capped by the signed
length and checked by the signed digest as all others are, and any fault leads to the server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from device_agent.contacting import CancelledError
from device_agent.download import Pause, download
from device_agent.journal import Deployment
from device_agent.transport import Transport
from edgekit.errors import NetworkError, RefusedError, TrustError

logger = logging.getLogger(__name__)
MIRROR_SILENT_S = 10.0
"""Longest silence of a mirror, and longest time until its answer begins."""


def fetch_whole(
    transport: Transport, wanted: Deployment, part: Path, *, steering: Callable[[], Pause]
) -> None:
    """Get a bundle whole; what came of it from either side is gone on with.

    Args:
        transport: To the server.
        wanted: What to get.
        part: Where to; its folder must exist.
        steering: Makes what is called between the pieces of one download.

    Raises:
        CancelledError: The server wants no more of it.
        StorageError: There is no room.
        TrustError: The server's own bytes are not those that were signed.
        NetworkError: The server did not give them whole; `part` keeps what came.
        RefusedError: The server does not give them.
    """
    get = partial(download, part=part, sha256=wanted.digest, size=wanted.size)
    if wanted.mirror and _mirrored(wanted.mirror, get, steering()):
        return
    begun = part.exists()
    try:
        get(transport, wanted.url, pause=steering())
    except TrustError:
        if not (wanted.mirror and begun):
            raise
        # The first bytes may have been a mirror's: once more, all of them from the server.
        get(transport, wanted.url, pause=steering())


def _mirrored(url: str, get: Callable[..., None], pause: Pause) -> bool:
    """Try a mirror, without any header that says who we are; True if the bundle is whole."""
    within_s = MIRROR_SILENT_S
    try:
        with closing(Transport(url, {}, timeout_s=within_s, answer_within_s=within_s)) as mirror:
            get(mirror, url, pause=pause)
    except CancelledError:
        raise
    except (NetworkError, RefusedError, TrustError, ValueError) as error:  # ValueError: no address
        logger.warning("mirror failed", extra={"fields": {"error": str(error)}})
        return False
    return True
