"""Settings of the agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agent.config import Config, load_config, parse_config
from edgekit.errors import UsageError


def test_no_file_means_all_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "agent.toml") == Config()


def test_tables_become_values(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        'window_s = 2\nruntimes = ["litert"]\n[ports]\ndigits = 8731\n'
        '[probation]\nduration_s = 5\n[source]\nfolder = "/data"\nrate_hz = 4\n'
    )
    config = load_config(path)
    assert config.window_s == 2
    assert config.runtimes == ("litert",)
    assert config.ports == {"digits": 8731}
    assert config.probation.duration_s == 5
    assert config.source is not None
    assert config.source.rate_hz == 4


@pytest.mark.parametrize(
    ("document", "word"),
    [
        pytest.param({"windows": 1}, "windows", id="unknown"),
        pytest.param({"probation": {"time": 1}}, "time", id="unknown-in-table"),
        pytest.param({"source": {"folder": "x", "fps": 1}}, "fps", id="unknown-in-source"),
        pytest.param({"window_s": "long"}, "window_s", id="type"),
        pytest.param({"window_s": 0}, "window_s", id="zero"),
        pytest.param({"poll_interval_s": -1}, "poll_interval_s", id="negative"),
        pytest.param({"threads": 0}, "threads", id="threads"),
        pytest.param({"cores": [4096]}, "no core 4096", id="cores"),
        pytest.param({"memory_mb": -1}, "memory_mb", id="memory"),
        pytest.param({"source": {"folder": "x", "rate_hz": 0}}, "rate_hz", id="rate"),
    ],
)
def test_a_wrong_setting_is_named(document: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        parse_config(document, where="agent.toml")


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("window_s =")
    with pytest.raises(UsageError, match=r"agent\.toml"):
        load_config(path)
