"""Bundles by digest for anybody: what a CDN may keep, and what it never gets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from edgekit.client.publishing import revoke
from tests.integration.server_fleet import Engineer, Server, now
from tests.manifests import make_bundle

pytestmark = pytest.mark.integration
FOREVER = "public, max-age=31536000, immutable"


@dataclass
class Site:
    """A server that serves bundles to anybody, and somebody who publishes there."""

    server: Server
    engineer: Engineer

    def publish(self, version: str) -> tuple[str, bytes]:
        """Publish a release; returns the public path of its bundle, and the bytes."""
        self.engineer.publish(version)
        bundle = make_bundle(self.engineer.folder / "again", version)
        return f"/bundles/{bundle.sha256}", bundle.path.read_bytes()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("public")
    server = Server(folder / "data")
    server.init()
    (server.data / "server.toml").write_text("[downloads]\npublic = true\n")
    server.start()
    yield Site(server, Engineer.create(server, folder / "engineer"))
    server.stop()


def test_who_knows_a_digest_gets_the_bytes_with_what_a_cache_needs(site: Site) -> None:
    path, data = site.publish("1.0.0")
    whole = site.server.ask("GET", path)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["cache-control"] == FOREVER
    etag = whole.headers["etag"]
    assert etag == f'"{hashlib.sha256(data).hexdigest()}"'

    head = site.server.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(data))
    assert (head.headers["etag"], head.headers["cache-control"]) == (etag, FOREVER)

    rest = site.server.ask("GET", path, headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (rest.status, rest.body) == (206, data[1000:])
    assert rest.headers["content-range"] == f"bytes 1000-{len(data) - 1}/{len(data)}"
    assert rest.headers["cache-control"] == FOREVER

    beyond = site.server.ask("GET", path, headers={"Range": f"bytes={len(data)}-"})
    assert (beyond.status, beyond.headers["cache-control"]) == (416, "no-store")
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        same = site.server.ask("GET", path, headers={"If-None-Match": known})
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
    assert site.server.ask("GET", path, headers={"If-None-Match": '"other"'}).status == 200


def test_nothing_is_listed_and_what_is_no_bundle_of_a_release_is_not_there(site: Site) -> None:
    stray = make_bundle(site.engineer.folder / "stray", "9.0.0").path.read_bytes()
    digest = hashlib.sha256(stray).hexdigest()
    bearer = {"Authorization": f"Bearer {site.server.token}"}
    assert (
        site.server.ask("PUT", f"/api/v1/blobs/{digest}", body=stray, headers=bearer).status == 200
    )
    wrong = ("", digest, "0" * 64, "A" * 64, "x", "..%2f..%2fserver.toml", "%00", "a" * 5000)
    for name in wrong:
        answer = site.server.ask("GET", f"/bundles/{name}")
        assert answer.status == 404, name
        assert answer.headers["cache-control"] == "no-store"
    assert site.server.ask("GET", "/bundles").status == 404
    assert site.server.ask("POST", f"/bundles/{digest}").status == 405


def test_what_was_withdrawn_or_revoked_is_gone(site: Site) -> None:
    withdrawn, _ = site.publish("2.0.0")
    revoked, _ = site.publish("3.0.0")
    assert [site.server.ask("HEAD", path).status for path in (withdrawn, revoked)] == [200, 200]
    with site.server.client() as client:
        client.withdraw("digits", "2.0.0")
        revoke(client, model="digits", version="3.0.0", keystore=site.engineer.keystore, now=now())
    assert [site.server.ask("GET", path).status for path in (withdrawn, revoked)] == [404, 404]
