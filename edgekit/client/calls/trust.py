"""Calls about signed metadata."""

from __future__ import annotations

from urllib.parse import quote

from edgekit.client.calls.base import API, Calls
from edgekit.client.wire.trust import OnlineKeys, TrustMetadata, TrustView


class TrustCalls(Calls):
    """Calls about signed metadata."""

    def trust(self) -> TrustView:
        """Return which trust metadata the server serves, and for how long it is valid."""
        return self._connection.ask(TrustView, "GET", f"{API}/trust")

    def online_keys(self) -> OnlineKeys:
        """Return the public keys that root metadata has to name for the server."""
        return self._connection.ask(OnlineKeys, "GET", f"{API}/trust/online-keys")

    def trust_metadata(self, role: str) -> bytes | None:
        """Return the newest signed metadata of "root", "targets" or a model; None if none."""
        path = f"{API}/trust/metadata/{quote(role, safe='')}"
        found = self._connection.find(TrustMetadata, path)
        return None if found is None else found.metadata.encode()

    def put_root(self, metadata: bytes) -> None:
        """Hand over new root metadata."""
        self._put_metadata("root", metadata)

    def put_targets(self, metadata: bytes) -> None:
        """Hand over new top-level targets metadata."""
        self._put_metadata("targets", metadata)

    def _put_metadata(self, role: str, metadata: bytes) -> None:
        body = TrustMetadata(metadata=metadata.decode())
        self._connection.ask(TrustView, "PUT", f"{API}/trust/{role}", body=body)
