"""Parts that integration tests share: a server for one agent, a PostgreSQL for all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from fleet_server.store.database import SqlDatabase
from tests.integration.agent_fleet import Fleet
from tests.integration.postgres import ADDRESS_VARIABLE, fresh_database, running_postgres


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what conversions finish out of the cache of whoever runs the tests."""
    before = os.environ.get("EDGEKIT_CACHE")
    os.environ["EDGEKIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["EDGEKIT_CACHE"]
    else:
        os.environ["EDGEKIT_CACHE"] = before


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Return the address of a PostgreSQL server that takes databases of tests."""
    given = os.environ.get(ADDRESS_VARIABLE)
    if given:
        yield given
        return
    with running_postgres() as server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Return the address of an empty database."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('database') / 'fleet.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(address: str) -> Iterator[SqlDatabase]:
    """Return a server's database that holds nothing, of each kind in turn."""
    database = SqlDatabase.open(address)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a simulated S3 with a bucket "bundles"."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="bundles")
    client.close()
    yield endpoint
    server.stop()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Return the server's side of one device, listening."""
    fleet = Fleet(tmp_path / "fleet")
    fleet.start()
    yield fleet
    fleet.stop()
