"""No credential stands where it may be read by somebody else: every kind, used and misused.

A real server at debug level on PostgreSQL (the address holds a password) and a simulated S3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgekit import codec
from tests.integration.server_fleet import Answer, Engineer, Server, SimulatedDevice

pytestmark = pytest.mark.integration

DATABASE, BUCKET = "database-password-7f3a", "bucket-secret-91bc"
PASSWORD, PASSPHRASE = "anna's long password 55", "passphrase of a backup 77"
WRONG = "a wrong credential 1234567890"


@dataclass
class Watch:
    """A server, what it must not tell, and everything that it told."""

    server: Server
    secrets: dict[str, str]
    told: dict[str, bytes] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: object = None, *, shown: str = "", makes: str = ""
    ) -> Answer:
        """Ask; an answer that makes a secret is the one place where it stands."""
        headers = {"Content-Type": "application/json"}
        if shown:
            headers["Authorization"] = shown
        data = None if body is None else codec.encode(body)
        answer = self.server.ask(method, path, body=data, headers=headers)
        if makes:
            assert answer.status == 200, answer
            found = answer.json.get("token") or answer.json.get("secret")
            self.secrets[makes] = str(found)
        else:
            self.told[f"{len(self.told)} {method} {path} {answer.status}"] = (
                str(answer.headers).encode() + answer.body
            )
        return answer

    def leaks(self) -> list[tuple[str, str]]:
        return [
            (name, where)
            for name, secret in self.secrets.items()
            for where, text in self.told.items()
            if secret.encode() in text
        ]


@pytest.fixture
def watch(tmp_path: Path, postgres_url: str, bucket: str) -> Watch:
    if "//postgres@" not in postgres_url:
        pytest.skip("the given PostgreSQL may look at passwords")
    server = Server(tmp_path / "server")
    server.data.mkdir(mode=0o700)
    (server.data / "server.toml").write_text(
        f'database = "{postgres_url.replace("//postgres@", f"//postgres:{DATABASE}@")}"\n'
        f'blobs = "s3://bundles"\nblobs_endpoint = "{bucket}"\nlog_level = "DEBUG"\n'
    )
    server.environment["AWS_SECRET_ACCESS_KEY"] = BUCKET
    server.init()
    secrets = {"database": DATABASE, "bucket": BUCKET, "password": PASSWORD, "wrong": WRONG}
    return Watch(server, {**secrets, "passphrase": PASSPHRASE, "first token": server.token})


def use_people(watch: Watch) -> None:
    admin = f"Bearer {watch.server.token}"
    account = {"name": "anna", "role": "admin", "password": PASSWORD}
    watch.ask("POST", "/api/v1/accounts", account, shown=admin)
    watch.ask("POST", "/api/v1/accounts", account, shown=admin)
    login = {"name": "anna", "password": PASSWORD}
    watch.ask("POST", "/api/v1/session", login, makes="session")
    watch.ask("POST", "/api/v1/session", {**login, "password": WRONG})
    watch.ask("POST", "/api/v1/session", {**login, "password": {"no": WRONG}})
    token = {"account": "anna", "role": "viewer"}
    watch.ask("POST", "/api/v1/tokens", token, shown=admin, makes="token")
    watch.ask("GET", "/api/v1/tokens", shown=f"Bearer {watch.secrets['token']}")
    watch.ask("GET", "/api/v1/releases", shown=f"Bearer {WRONG}")
    watch.ask("GET", "/api/v1/accounts", shown=admin)


def use_devices(watch: Watch) -> None:
    admin = f"Bearer {watch.server.token}"
    watch.ask("POST", "/api/v1/enrolment-tokens", {}, shown=admin, makes="enrolment")
    watch.ask("POST", "/api/v1/enrol", {"token": WRONG, "device_id": "x"})
    device = SimulatedDevice.enrol(watch.server, "one")
    watch.secrets["device"] = device.token
    own = f"TargetToken {device.token}"
    watch.ask("GET", device.path, shown=own)
    watch.ask("GET", f"{device.path}/deploymentBase/99", shown=own)
    watch.ask("GET", device.path, shown=f"TargetToken {WRONG}")
    watch.ask("POST", f"{device.path}/telemetry", {"windows": WRONG}, shown=own)
    watch.ask("POST", "/api/v1/gateways", {"name": "hall"}, shown=admin, makes="gateway")
    behind = "/DEFAULT/controller/v1/behind"
    watch.ask("GET", behind, shown=f"GatewayToken {watch.secrets['gateway']}")
    watch.ask("GET", f"{behind}/deploymentBase/1", shown=f"GatewayToken {WRONG}")
    watch.ask("GET", "/api/v1/devices/one", shown=admin)
    watch.ask("GET", "/api/v1/devices/one/diagnosis", shown=admin)


def use_webhooks(watch: Watch) -> None:
    admin = f"Bearer {watch.server.token}"
    hook = {"url": "http://127.0.0.1:9/hook"}
    watch.ask("POST", "/api/v1/webhooks", hook, shown=admin, makes="webhook")
    watch.ask("GET", "/api/v1/webhooks", shown=admin)
    watch.ask("PUT", "/api/v1/freeze", {"frozen": True, "reason": "a test"}, shown=admin)


def look_around(watch: Watch, folder: Path) -> None:
    """Read everything that an operator or a neighbour on the machine may read."""
    server, admin = watch.server, f"Bearer {watch.server.token}"
    for path in ("/metrics", "/api/v1/audit?limit=1000", "/api/v1/events", "/api/v1/health"):
        assert watch.ask("GET", path, shown=admin).status == 200
    assert server.process is not None
    watch.told["process list"] = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    backup = folder / "backup.tar"
    given = folder / "passphrase"
    given.write_text(PASSPHRASE)
    given.chmod(0o600)
    for name, arguments in (
        ("help", ("run", "--help")),
        ("backup", ("backup", str(server.data), str(backup), "--passphrase-file", str(given))),
    ):
        done = server.command(*arguments)
        watch.told[name] = done.stdout + done.stderr
    kept = backup.read_bytes()
    hidden = {"webhook"}  # must come back from a backup as it was; the file is 0600
    for secret in watch.secrets.keys() - hidden:
        assert watch.secrets[secret].encode() not in kept, secret


def test_no_credential_stands_in_logs_answers_metrics_audit_or_process_list(
    watch: Watch, tmp_path: Path
) -> None:
    server = watch.server
    server.start()
    Engineer.create(server, tmp_path / "engineer").publish("1.0.0")
    use_people(watch)
    use_devices(watch)
    use_webhooks(watch)
    look_around(watch, tmp_path)
    server.stop()
    watch.told["log"] = server.log().encode()
    assert b" DEBUG " in watch.told["log"]
    assert len(watch.secrets) == 12
    assert watch.leaks() == []


def test_a_database_that_does_not_answer_is_named_without_its_password(watch: Watch) -> None:
    file = watch.server.data / "server.toml"
    file.write_text(f'database = "postgresql+psycopg://edgekit:{DATABASE}@127.0.0.1:1/none"\n')
    done = watch.server.attempt("run", str(watch.server.data), "--port", "0")
    assert done.returncode != 0
    assert DATABASE.encode() not in done.stdout + done.stderr
    assert b"127.0.0.1" in done.stderr or b"database" in done.stderr
