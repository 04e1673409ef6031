"""HTTP outwards: one POST, bounded in time, no redirects followed."""

from __future__ import annotations

import time
from collections.abc import Mapping

import urllib3

from fleet_server.services.webhooks import Posted

_TIMEOUT = urllib3.Timeout(connect=5.0, read=10.0)


class HttpPoster:
    """Posts to addresses that administrators gave. Safe from several threads."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(num_pools=8, retries=False)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Send a body; no answer in time is a problem, not an exception."""
        began = time.monotonic()
        try:
            answer = self._pool.request(
                "POST", url, body=body, headers=dict(headers), timeout=_TIMEOUT, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            problem = f"does not answer ({type(error).__name__})"
            return Posted(status=0, took_ms=_since_ms(began), problem=problem)
        return Posted(status=answer.status, took_ms=_since_ms(began))


def _since_ms(began: float) -> float:
    return (time.monotonic() - began) * 1e3
