"""Lists of the management API in pages. Real server, real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest

from edgekit.client.calls import base
from tests.integration.server_fleet import Answer, Engineer, Server, everybody

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("pages") / "data") as server:
        models = ("ab", "digits", "zz")
        engineer = Engineer.create(server, tmp_path_factory.mktemp("engineer"), *models)
        for model in ("zz", "digits", "ab"):
            engineer.publish("1.0.0", model=model)
            engineer.roll_out("1.0.0", model=model, **everybody())
        with server.client() as client:
            for name in ("d1", "d2", "d3"):
                client.add_device(name, {"site": "a"})
        yield server


def get(server: Server, path: str) -> Answer:
    return server.ask("GET", path, headers={"Authorization": f"Bearer {server.token}"})


def follow(server: Server, path: str) -> list[list[Any]]:
    """Read pages as long as a link names a next one."""
    pages = []
    while path:
        answer = get(server, path)
        assert answer.status == 200, answer
        pages.append(answer.json)
        link = answer.headers.get("link", "")
        path = urljoin(path, link[1 : link.index(">")]) if link else ""
    return pages


def name(entry: dict[str, Any]) -> tuple[Any, ...]:
    """Name what an entry is, without what the scheduler changes meanwhile (its phase)."""
    return tuple(entry[key] for key in ("id", "model", "version") if key in entry)


@pytest.mark.parametrize("what", ["releases", "rollouts", "devices"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_following_the_links_gives_every_entry_once_in_order(
    server: Server, what: str, limit: int
) -> None:
    whole = get(server, f"/api/v1/{what}").json
    pages = follow(server, f"/api/v1/{what}?limit={limit}")
    assert len(whole) == 3
    assert [name(entry) for page in pages for entry in page] == [name(entry) for entry in whole]
    assert all(len(page) <= limit for page in pages)


def test_a_link_keeps_the_selector(server: Server) -> None:
    link = get(server, "/api/v1/devices?limit=1&selector=site%3Da").headers["link"]
    assert link == '<?limit=1&after=d1&selector=site%3Da>; rel="next"'


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x"])
def test_a_limit_without_sense_is_refused(server: Server, query: str) -> None:
    assert get(server, f"/api/v1/releases?{query}").status == 422
    assert get(server, f"/api/v1/rollouts?{query}").status == 422


def test_behind_an_unknown_entry_there_is_nothing(server: Server) -> None:
    assert get(server, "/api/v1/releases?limit=2&after=none/9").status == 404
    assert get(server, "/api/v1/rollouts?limit=2&after=none").json == []


def test_the_client_reads_page_by_page(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PAGE_ENTRIES", 2)
    with server.client() as client:
        assert [release.model for release in client.releases()] == ["zz", "digits", "ab"]
        assert [rollout.model for rollout in client.rollouts()] == ["zz", "digits", "ab"]
