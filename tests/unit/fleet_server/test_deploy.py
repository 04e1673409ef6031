"""The files for deployment: every query names a metric that exists, and the rest is well formed."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet_server.api.metrics import Metrics
from fleet_server.services.config import Settings

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
        [program, "verify", str(copy)], capture_output=True, text=True, timeout=180, check=False
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


COMPOSITIONS = ("compose.yaml", "compose-machines.yaml")
_PINNED = re.compile(r"[a-z0-9./-]+:\d+(\.\d+){1,2}(-[a-z0-9-]+)?(@sha256:[0-9a-f]{64})?")
_SECRET = re.compile(r"(?i)(password|secret|token|access_key)[a-z_]*\s*[=:]\s*[\"']?[^\s/\"'{\[]+")
_BY_FILE = re.compile(r"(?i)(_FILE|online_secret_file)\b")


def composition(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


def images() -> list[str]:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    services = [s for name in COMPOSITIONS for s in composition(name)["services"].values()]
    return bases + [service["image"] for service in services if "image" in service]


@pytest.mark.parametrize("image", images())
def test_every_image_is_of_one_version(image: str) -> None:
    assert _PINNED.fullmatch(image), "a tag that moves builds something else tomorrow"


@pytest.mark.parametrize("name", [*COMPOSITIONS, "Containerfile"])
def test_no_deployment_file_holds_a_secret(name: str) -> None:
    lines = (DEPLOY / name).read_text().splitlines()
    assert [x for x in lines if _SECRET.search(x) and not _BY_FILE.search(x)] == []


def test_the_look_for_secrets_finds_one() -> None:
    assert _SECRET.search("POSTGRES_PASSWORD: hunter2")
    assert _SECRET.search("ENV AWS_SECRET_ACCESS_KEY=abc")


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_every_secret_is_a_file_that_somebody_uses(name: str) -> None:
    composed = composition(name)
    used = {s for service in composed["services"].values() for s in service.get("secrets", ())}
    assert used == set(composed["secrets"])
    assert all(set(secret) == {"file"} for secret in composed["secrets"].values())


def test_the_container_is_not_root_and_owns_its_folder() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in {"root", "0"}
    owned = next(n for n, line in enumerate(lines) if "install -d -o edgekit" in line)
    assert "/var/lib/edgekit" in lines[owned]
    assert owned < lines.index("USER edgekit") < lines.index('VOLUME ["/var/lib/edgekit"]')


def test_keys_and_databases_stay_out_of_the_image() -> None:
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    assert {".git", "**/*.pem", "**/*.secret", "**/*.token", "**/server.toml"} <= set(ignored)


def test_several_machines_share_only_what_stands_elsewhere() -> None:
    composed, text = composition("compose-machines.yaml"), DEPLOY / "compose-machines.yaml"
    (server,) = composed["services"].values()
    build = server["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert server["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])
    said = re.findall(r"^#   (\w+ = .+)$", text.read_text(), re.MULTILINE)
    settings = tomllib.loads("\n".join(said))
    assert set(settings) <= {field.name for field in fields(Settings)}
    assert settings["database"].startswith("postgresql+psycopg://")
    assert settings["blobs"].startswith("s3://")
    assert settings["online_secret_file"] == "/run/secrets/online_secret"
    assert "online_secret" in server["secrets"]
