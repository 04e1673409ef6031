"""server.toml and arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import UsageError
from fleet_server.services.config import load_config


def test_defaults_then_file_then_arguments(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("port = 1234\ntick_s = 3.0\n")
    settings = load_config(tmp_path, {"port": 99, "host": None}).settings
    assert (settings.port, settings.tick_s, settings.host) == (99, 3.0, "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1", "unknown key 'prot'"),
        ("port = 'x'", "port"),
        ("port = 70000", "port must be"),
        ("poll_interval_s = 0.0", "poll_interval_s must be above 0"),
        ("tick_s = inf", "tick_s must be above 0"),
        ("= 1", "cannot be read"),
        ("host = '0.0.0.0'", "--behind-proxy"),
        ("downloads.mirror = 'cdn.example'", "downloads.mirror must be an address"),
        ("downloads.mirror = 'https://cdn.example/'", "downloads.mirror must be an address"),
        ("downloads.mirror = 'https://me:secret@cdn.example'", "without credentials"),
        ("downloads.mirror = 'https://cdn.example/x?y'", "downloads.mirror must be an address"),
        ("downloads.mirror = 'https://['", "downloads.mirror"),
        ("downloads.public = 'x'", "downloads"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "server.toml").write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        load_config(tmp_path, {})
    assert "server.toml" in str(caught.value)


def test_a_mirror_holds_bundles_by_their_digests(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("[downloads]\nmirror = 'https://cdn.example/fleet'\n")
    downloads = load_config(tmp_path, {}).settings.downloads
    assert downloads.link("ab" * 32) == f"https://cdn.example/fleet/bundles/{'ab' * 32}"
    (tmp_path / "server.toml").unlink()
    assert load_config(tmp_path, {}).settings.downloads.link("ab" * 32) == ""


def test_beyond_loopback_is_fine_behind_a_proxy(tmp_path: Path) -> None:
    given = {"host": "0.0.0.0", "behind_proxy": True}
    assert load_config(tmp_path, given).settings.host == "0.0.0.0"


def test_the_database_is_in_the_folder_unless_named(tmp_path: Path) -> None:
    config = load_config(tmp_path, {})
    assert config.database_url == f"sqlite:///{tmp_path / 'fleet.sqlite'}"
    named = load_config(tmp_path, {"database": "postgresql://x/y"})
    assert named.database_url == "postgresql://x/y"
