"""Calls about bundles and releases."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from edgekit.client.calls.base import API, Calls
from edgekit.client.wire.releases import NewRelease, ReleaseView
from edgekit.client.wire.trust import TrustMetadata


class ReleaseCalls(Calls):
    """Calls about bundles and releases."""

    def upload_blob(self, file: Path, *, sha256: str, size: int) -> bool:
        """Stream a file to the server unless it is there; say whether it was sent."""
        path = f"{API}/blobs/{sha256}"
        if self._connection.has(path):
            return False
        self._connection.upload(path, file, size=size)
        return True

    def create_release(self, release: NewRelease) -> ReleaseView:
        """Publish a release whose bundles were uploaded."""
        return self._connection.ask(ReleaseView, "POST", f"{API}/releases", body=release)

    def releases(self) -> list[ReleaseView]:
        """Return every release."""
        return list(self._paged(ReleaseView, f"{API}/releases", lambda r: f"{r.model}/{r.version}"))

    def release(self, model: str, version: str) -> ReleaseView:
        """Return one release."""
        return self._connection.ask(ReleaseView, "GET", _release(model, version))

    def withdraw(self, model: str, version: str) -> ReleaseView:
        """Stop offering a release; devices that run it keep running it."""
        return self._connection.ask(ReleaseView, "POST", f"{_release(model, version)}/withdraw")

    def post_revocation(self, model: str, version: str, metadata: bytes) -> ReleaseView:
        """Revoke a release by the model's signed list without it; see `publishing.revoke`."""
        body = TrustMetadata(metadata=metadata.decode())
        path = f"{_release(model, version)}/revoke"
        return self._connection.ask(ReleaseView, "POST", path, body=body)


def _release(model: str, version: str) -> str:
    return f"{API}/releases/{quote(model, safe='')}/{quote(version, safe='')}"
