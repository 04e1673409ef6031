"""The commands against a real fleet server, as its users type them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edgekit import codec
from edgekit.bundle import bundle_name
from edgekit.cli import main
from edgekit.client.http import FleetClient
from edgekit.client.publishing import publish
from edgekit.client.trusting import install_trust
from edgekit.demo.processes import free_port
from edgekit.errors import (
    BundleError,
    ConflictError,
    NetworkError,
    RefusedError,
    TrustError,
    UsageError,
)
from edgekit.protocol import EnrolmentFile
from edgekit.trust.keystore import KeyStore
from tests.integration.agent_models import make_bundle

pytestmark = [pytest.mark.integration]

PASSPHRASE = "four words of it"
NOW = datetime.now(UTC)  # noqa: TID251 (the server under test has the real clock)


@dataclass(frozen=True)
class Server:
    url: str
    token: str

    def client(self) -> FleetClient:
        return FleetClient(self.url, self.token)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server") / "fleet"
    port = free_port()
    command = [sys.executable, "-m", "edgekit.cli", "server"]
    subprocess.run([*command, "init", str(folder)], check=True, capture_output=True, timeout=180)
    token = (folder / "admin.token").read_text().strip()
    log = folder.with_name("server.log")
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "run", str(folder), "--port", str(port)], stdout=out, stderr=out
        )
    try:
        made = Server(f"http://127.0.0.1:{port}", token)
        _wait_for(made, process, log)
        yield made
    finally:
        process.terminate()
        assert process.wait(timeout=90) in {0, -signal.SIGTERM}


def _wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    with server.client() as client:
        for _ in range(600):
            try:
                client.health()
            except NetworkError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            else:
                return
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def keystore(server: Server, tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    made = KeyStore.create(tmp_path_factory.mktemp("engineer") / "keys", PASSPHRASE)
    made.add_model("digits")
    with server.client() as client:
        install_trust(client, made, now=NOW)
    return made


Run = Callable[..., str]


@pytest.fixture
def run(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("EDGEKIT_SERVER", server.url)
    monkeypatch.setenv("EDGEKIT_TOKEN", server.token)
    monkeypatch.setenv("EDGEKIT_PASSPHRASE", PASSPHRASE)

    def call(*words: object, code: int = 0) -> str:
        assert main([str(word) for word in words]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return call


def publish_by_library(server: Server, keystore: KeyStore, folder: Path, version: str) -> None:
    bundle = make_bundle(folder, version)
    with server.client() as client:
        publish(
            client,
            model="digits",
            version=version,
            bundles=[bundle.path],
            keystore=keystore,
            now=NOW,
        )


def test_keys_are_created_and_installed_and_installing_again_changes_nothing(
    run, keystore, tmp_path
):
    said = run("keys", "create", tmp_path / "keys")
    assert "made the root and the targets key" in said
    run("keys", "add-model", tmp_path / "keys", "faces")
    assert "faces" in run("keys", "show", tmp_path / "keys")
    assert "nothing to do" in run("keys", "install", keystore.folder)


def test_keys_of_a_stranger_are_not_installed(run, keystore, tmp_path):
    run("keys", "create", tmp_path / "other")
    said = run("keys", "install", tmp_path / "other", code=TrustError.exit_code)
    assert said.startswith("edgekit: ")
    assert said.count("\n") == 1


def test_a_wrong_passphrase_is_one_line(run, keystore, monkeypatch):
    monkeypatch.setenv("EDGEKIT_PASSPHRASE", "something else")
    said = run("keys", "show", keystore.folder, code=TrustError.exit_code)
    assert "wrong passphrase" in said
    assert said.count("\n") == 1


def test_a_folder_of_bundles_becomes_a_release(run, keystore, tmp_path):
    make_bundle(tmp_path, "1.0.0", variant="onnx-fp32")
    make_bundle(tmp_path, "1.0.0", variant="onnx-other")
    said = run("release", "publish", tmp_path, "--keys", keystore.folder)
    assert "digits 1.0.0: published" in said
    shown = json.loads(run("release", "show", "digits", "1.0.0", "--json"))
    assert [v["variant"] for v in shown["variants"]] == ["onnx-fp32", "onnx-other"]
    assert "onnx-fp32, onnx-other" in run("release", "list")
    assert "withdrawn" in run("release", "withdraw", "digits", "1.0.0")


def test_publishing_the_same_again_is_safe_and_other_content_is_a_conflict(
    server, keystore, tmp_path
):
    publish_by_library(server, keystore, tmp_path / "a", "2.0.0")
    other = make_bundle(tmp_path / "b", "2.0.0", shift=1.0)
    with server.client() as client, pytest.raises(ConflictError):
        publish(
            client,
            model="digits",
            version="2.0.0",
            bundles=[other.path],
            keystore=keystore,
            now=NOW,
        )
    publish_by_library(server, keystore, tmp_path / "c", "2.0.1")


def test_a_publisher_who_was_overtaken_signs_again_once(server, keystore, tmp_path):
    """Somebody else publishes between reading the list and handing it over."""

    class Overtaken(FleetClient):
        overtaken = 0

        def create_release(self, release: Any) -> Any:
            if not self.overtaken:
                self.overtaken += 1
                publish_by_library(server, keystore, tmp_path / "other", "3.0.1")
            return super().create_release(release)

    bundle = make_bundle(tmp_path, "3.0.0")
    with Overtaken(server.url, server.token) as client:
        view = publish(
            client,
            model="digits",
            version="3.0.0",
            bundles=[bundle.path],
            keystore=keystore,
            now=NOW,
        )
    assert (view.version, client.overtaken) == ("3.0.0", 1)
    with server.client() as client:
        assert {"3.0.0", "3.0.1"} <= {release.version for release in client.releases()}


def test_a_model_without_a_delegation_is_not_published(server, keystore, tmp_path):
    mine = KeyStore.create(tmp_path / "mine", PASSPHRASE)
    bundle = make_bundle(tmp_path, "1.0.0", model="faces")
    wanted: dict[str, Any] = {"model": "faces", "version": "1.0.0", "bundles": [bundle.path]}
    with server.client() as client:
        with pytest.raises(TrustError, match="keys add-model"):
            publish(client, **wanted, keystore=mine, now=NOW)
        mine.add_model("faces")
        with pytest.raises(TrustError, match="keys install"):
            publish(client, **wanted, keystore=mine, now=NOW)


def test_bundles_of_another_release_are_refused_before_anything_is_sent(server, keystore, tmp_path):
    bundle = make_bundle(tmp_path, "4.0.0")
    wanted: dict[str, Any] = {"keystore": keystore, "now": NOW, "model": "digits"}
    with server.client() as client:
        with pytest.raises(UsageError, match=r"is digits 4\.0\.0, not digits 4\.0\.1"):
            publish(client, version="4.0.1", bundles=[bundle.path], **wanted)
        with pytest.raises(UsageError, match="twice"):
            publish(client, version="4.0.0", bundles=[bundle.path] * 2, **wanted)
        with pytest.raises(UsageError, match="no bundle"):
            publish(client, version="4.0.0", bundles=[], **wanted)
        bundle.path.write_bytes(bundle.path.read_bytes()[:-100])
        with pytest.raises(BundleError):
            publish(client, version="4.0.0", bundles=[bundle.path], **wanted)


def test_an_enrolment_file_is_private_and_names_server_and_root(run, server, keystore, tmp_path):
    file = tmp_path / "enrolment.json"
    run("device", "enrolment", "--out", file, "--uses", 6, "--life", "1h", "--label", "site=a")
    content = codec.decode(file.read_bytes(), EnrolmentFile, where=str(file))
    with server.client() as client:
        assert content.root_sha256 == client.trust().root_sha256
    assert content.server == server.url
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_rollout_is_planned_started_steered_and_aborted(run, server, keystore, tmp_path):
    publish_by_library(server, keystore, tmp_path, "5.0.0")
    file = tmp_path / "rollout.yaml"
    file.write_text(
        'model: digits\nversion: "5.0.0"\nselector: {site: nowhere}\nstages:\n  - percent: 100\n'
    )
    run("rollout", "plan", file)
    started = json.loads(run("rollout", "start", file, "--json"))
    assert "paused" in run("rollout", "pause", started["id"])
    assert "paused" not in run("rollout", "resume", started["id"])
    assert started["id"] in run("rollout", "list")
    assert "aborted" in run("rollout", "abort", started["id"])
    run("rollout", "watch", started["id"], code=1)
    assert "digits 5.0.0" in run("rollout", "show", started["id"])


def test_a_rollout_can_be_told_by_flags(run, server, keystore, tmp_path):
    publish_by_library(server, keystore, tmp_path, "5.1.0")
    words = ["--model", "digits", "--version", "5.1.0", "--selector", "site=elsewhere"]
    stages = ["--stage", "1/variant", "--stage", "100%:30m", "--gate", "margin=0.2"]
    started = json.loads(run("rollout", "start", *words, *stages, "--json"))
    assert started["stages"] == 2
    run("rollout", "abort", started["id"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["device", "show", "nobody"], RefusedError.exit_code, "nobody"),
        (["device", "retry", "nobody"], RefusedError.exit_code, "nobody"),
        (["release", "show", "digits", "99"], RefusedError.exit_code, "99"),
        (["rollout", "show", "none"], RefusedError.exit_code, "none"),
        (["rollout", "start", "absent.yaml"], 24, "absent.yaml"),
        (
            ["rollout", "start", "--model", "digits", "--version", "99"],
            RefusedError.exit_code,
            "99",
        ),
        (["bundle", "verify", "absent.bundle"], 24, "absent.bundle"),
        (["device", "label", "nobody", "site"], 2, "site"),
        (["rollout", "list", "--token-file", "absent"], 24, "absent"),
        (["rollout", "list", "--server", "http://127.0.0.1:9"], 20, "127.0.0.1:9"),
        (["rollout", "list", "--server", "nothing"], 2, "nothing"),
        (["rollout", "strt"], 2, "'start'"),
        (["rollout", "list", "--wrong"], 2, "--wrong"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code(run, keystore, words, code, said):
    line = run(*words, code=code)
    assert line.startswith("edgekit: ")
    assert said in line
    assert line.count("\n") == 1


def test_a_wrong_token_is_one_line(run, monkeypatch):
    monkeypatch.setenv("EDGEKIT_TOKEN", "wrong")
    line = run("device", "list", code=RefusedError.exit_code)
    assert "token" in line
    assert line.count("\n") == 1


def test_a_bundle_is_verified_listed_and_measured_here(run, tmp_path):
    bundle = make_bundle(tmp_path, "1.0.0")
    rows = json.loads(run("bundle", "verify", tmp_path, "--json"))
    assert [row["sha256"] for row in rows] == [bundle.sha256]
    assert 0 <= rows[0]["max_abs_diff"] <= bundle.manifest.golden.atol
    assert bundle_name("digits", "1.0.0", "onnx-fp32") in run("bundle", "list", tmp_path)
    words = ["--num-runs", 64, "--min-secs", 0, "--json"]
    (report,) = json.loads(run("bench", bundle.path, *words))["reports"]
    assert report["inputs"] == "golden samples"
    steps = {step["name"]: step["summary"] for step in report["steps"]}
    assert steps["inference"]["count"] == steps["preprocessing"]["count"] == 64
    assert steps["inference"]["p90"] >= steps["inference"]["median"] > 0
    assert "n/a (needs 64)" in run("bench", bundle.path, "--num-runs", 5, "--min-secs", 0)
    model = tmp_path / "1.0.0.onnx"
    assert "(cpu), random numbers" in run("bench", model, "--num-runs", 64, "--min-secs", 0)


def test_a_bundle_that_computes_something_else_here_is_not_verified(run, tmp_path):
    bundle = make_bundle(tmp_path, "1.0.0", wrong_golden=True)
    assert "golden sample" in run("bundle", "verify", bundle.path, code=13)
