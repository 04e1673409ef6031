"""The files for deployment: every query names a metric that exists, and the rest is well formed."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from fleet_server.api.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[3] / "fleet_server" / "deploy"
_NAME = re.compile(r"\bedgekit_[a-z_]+")


def queries() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    rules = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return shown + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("query", queries())
def test_every_query_names_metrics_that_exist(query: str) -> None:
    named = set(_NAME.findall(query))
    assert named
    assert named <= Metrics().names()


def test_every_metric_is_shown_somewhere() -> None:
    shown = {name for query in queries() for name in _NAME.findall(query)}
    unseen = {name for name in Metrics().names() if not name.endswith(("_sum", "_count"))} - shown
    assert unseen == set()


def test_the_exposition_escapes_and_adds_up() -> None:
    metrics = Metrics()
    metrics.requests.add(2, "GET", 'a"b\\c\nd', "200")
    for seconds in (0.0005, 0.03, 99.0):
        metrics.duration_s.observe(seconds, "r")
    text = metrics.render()
    assert 'route="a\\"b\\\\c\\nd",status="200"} 2' in text
    assert 'edgekit_request_duration_seconds_bucket{route="r",le="0.05"} 2' in text
    assert 'edgekit_request_duration_seconds_bucket{route="r",le="+Inf"} 3' in text
    assert 'edgekit_request_duration_seconds_count{route="r"} 3' in text


def test_the_unit_is_hardened_and_restarts() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys of units have case
    parser.read(DEPLOY / "edgekit-server.service")
    service = parser["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["Restart"] == "on-failure"
    assert "--host 127.0.0.1" in service["ExecStart"]
    assert service["User"] != "root"


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd here")
    unit = (DEPLOY / "edgekit-server.service").read_text()
    copy = tmp_path / "edgekit-server.service"
    copy.write_text(unit.replace("/usr/local/bin/edgekit", "/bin/true"))
    done = subprocess.run(
        [program, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "edgekit-server" in line]
    assert complaints == []


def test_the_composition_names_files_that_exist() -> None:
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    servers = [s for name, s in composed["services"].items() if name.startswith("server")]
    assert len(servers) == 2
    for server in servers:
        build = server["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert set(composed["volumes"]) == {"edgekit", "database"}
    assert (DEPLOY / "nginx.conf").read_text().count("{") == (
        DEPLOY / "nginx.conf"
    ).read_text().count("}")


def test_the_container_runs_as_nobody_special_and_is_watched() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    words = [line.split(" ", 1)[0] for line in lines]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "HEALTHCHECK" in words
    assert "--behind-proxy" in lines[-1]
