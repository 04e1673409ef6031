"""The device token, renewed by the agent itself when it has become old. Knows no deployment."""

from __future__ import annotations

import logging
from dataclasses import replace

from device_agent.context import Context
from edgekit.errors import StorageError

logger = logging.getLogger(__name__)
DAY_S = 86400.0


def renew_token(ctx: Context, url: str) -> None:
    """Ask for the next token if this one is old, and use it once it is safe on disk.

    The server takes the old one until the new one was used, so that a power cut at any moment
    leaves a token that is good. A clock that went back begins to count anew.

    Raises:
        NetworkError: No answer.
        RefusedError: The server gives none.
        FormatError: The answer holds none.
    """
    identity, now_s = ctx.identity, ctx.now().timestamp()
    if not ctx.config.token_days:
        return
    known = 0.0 < identity.token_since_s <= now_s
    if known and now_s - identity.token_since_s < ctx.config.token_days * DAY_S:
        return
    token = ctx.ddi.next_token(url) if known else identity.token
    renewed = replace(identity, token=token, token_since_s=now_s)
    try:
        renewed.save(ctx.layout.identity)
    except StorageError as error:
        logger.warning("token not renewed", extra={"fields": {"error": str(error)}})
        return
    ctx.identity = renewed
    ctx.authorize(renewed.authorization)
    if known:
        logger.info("token renewed")
