"""The history of the tables."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

import fleet_server.store


def test_migrations_are_one_line() -> None:
    config = Config()
    folder = Path(fleet_server.store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    script = ScriptDirectory.from_config(config)
    assert len(script.get_heads()) == 1
    assert all(isinstance(s.down_revision, str | None) for s in script.walk_revisions())
