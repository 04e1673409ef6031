"""Parts that integration tests share: one PostgreSQL server for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.postgres import ADDRESS_VARIABLE, fresh_database, running_postgres


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
