"""HTTP outwards: one POST, bounded in time, no redirects followed."""

from __future__ import annotations

from collections.abc import Mapping

import urllib3

from edgekit.errors import NetworkError

_TIMEOUT = urllib3.Timeout(connect=5.0, read=10.0)


class HttpPoster:
    """Posts to addresses that administrators gave. Safe from several threads."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(num_pools=8, retries=False)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a body; returns the HTTP status.

        Raises:
            NetworkError: No answer in time.
        """
        try:
            answer = self._pool.request(
                "POST", url, body=body, headers=dict(headers), timeout=_TIMEOUT, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise NetworkError(f"does not answer ({type(error).__name__})", where=url) from error
        return answer.status
