"""The server speaks HTTPS by itself."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.demo.processes import free_port
from edgekit.errors import UsageError
from fleet_server.main import run
from fleet_server.services.config import load_config
from tests.integration.server_fleet import Server, until

pytestmark = pytest.mark.integration

_RUN = "import sys; from fleet_server.cli import app; app(sys.argv[1:])"


def certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
        timeout=180,
    )
    return cert, key


@pytest.mark.needs("openssl")
def test_a_server_with_a_certificate_speaks_https_only(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    server, port = Server(tmp_path / "data"), free_port()
    server.init()
    arguments = ["run", str(server.data), "--port", str(port), "--host", "0.0.0.0"]
    arguments += ["--tls-cert", str(cert), "--tls-key", str(key)]
    believes = ssl.create_default_context(cafile=str(cert))

    def answer() -> http.client.HTTPResponse | None:
        assert process.poll() is None
        link = http.client.HTTPSConnection("127.0.0.1", port, context=believes, timeout=60)
        try:
            link.request("GET", "/api/v1/health")
            response = link.getresponse()
            response.read()
        except OSError:
            return None
        finally:
            link.close()
        return response

    with subprocess.Popen([sys.executable, "-c", _RUN, *arguments]) as process:
        try:
            found = until(answer)
            assert found.status == 200
            assert found.headers["Strict-Transport-Security"] == "max-age=31536000"
            plain = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            plain.request("GET", "/api/v1/health")
            with pytest.raises((http.client.HTTPException, OSError)):
                plain.getresponse()
            plain.close()
        finally:
            process.terminate()


def test_what_is_no_certificate_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("none")
    given = {"tls_cert": str(tmp_path / "x.pem"), "tls_key": str(tmp_path / "x.pem")}
    with pytest.raises(UsageError, match="TLS"):
        run(load_config(tmp_path, {**given, "host": "0.0.0.0"}))
    with pytest.raises(UsageError, match="belong together"):
        load_config(tmp_path, {"tls_cert": "a"})
    with pytest.raises(UsageError, match="plain HTTP"):
        load_config(tmp_path, {"host": "0.0.0.0"})
