"""SWUpdate as a distribution ships it: an update file for it, the program, and a bad network."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_DESCRIPTION = """software =
{{
    version = "{version}";
    hardware-compatibility: [ "1.0" ];
    files: ( {{ filename = "payload.bin"; path = "{target}"; sha256 = "{sha256}"; }} );
}}
"""


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that SWUpdate accepts signatures of; returns it and its key."""
    certificate, key = folder / "swu.crt", folder / "swu.key"
    _run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=test", "-addext", "keyUsage=digitalSignature"),
        *("-addext", "extendedKeyUsage=emailProtection"),
        *("-keyout", str(key), "-out", str(certificate)),
        cwd=folder,
    )
    return certificate, key


def make_update(
    folder: Path, *, version: str, payload: bytes, target: Path, signer: tuple[Path, Path]
) -> Path:
    """Make a signed .swu file that writes `payload` to `target`."""
    work = folder / f"swu-{version}"
    work.mkdir()
    (work / "payload.bin").write_bytes(payload)
    digest = hashlib.sha256(payload).hexdigest()
    (work / "sw-description").write_text(
        _DESCRIPTION.format(version=version, target=target, sha256=digest)
    )
    certificate, key = signer
    _run(
        *("openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig"),
        *("-signer", str(certificate), "-inkey", str(key)),
        *("-outform", "DER", "-nosmimecap", "-binary"),
        cwd=work,
    )
    names = b"sw-description\nsw-description.sig\npayload.bin\n"
    update = folder / f"camera-{version}.swu"
    with update.open("wb") as out:
        command = [_path("cpio"), "--quiet", "-o", "-H", "crc"]
        subprocess.run(command, input=names, stdout=out, cwd=work, check=True, timeout=180)
    return update


@contextmanager
def running(
    folder: Path, url: str, *, device: str, token: str, certificate: Path, confirm: bool = False
) -> Iterator[Path]:
    """Run SWUpdate against a server; yields the file that it logs to."""
    log = folder / "swupdate.log"
    options = [
        *("-t", "DEFAULT", "-u", url, "-i", device, "-k", token, "-p", "1"),
        *("-r", "5", "-w", "1"),
        *(("-c", "2") if confirm else ()),
    ]
    command = [
        *(_path("timeout"), "-k", "5", "120", _path("swupdate"), "-v", "-M", "-m"),
        *("-H", "board:1.0", "-k", str(certificate), "-u", " ".join(options)),
    ]
    environment = {**os.environ, "TMPDIR": str(folder), "RUNTIME_DIRECTORY": str(folder)}
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, cwd=folder, start_new_session=True
        )
    try:
        yield log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=90)


@dataclass
class CuttingProxy:
    """Forwards TCP connections, and cuts the first answer that grows beyond a size."""

    port: int
    cut_after: int
    cuts: int = 0
    requests: list[bytes] = field(default_factory=list)

    def __enter__(self) -> CuttingProxy:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=90)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self.requests.append(data)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        with suppress(OSError), server, client:
            while data := server.recv(65536):
                client.sendall(data)
                passed += len(data)
                if passed > self.cut_after and not self.cuts:
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return


def _path(program: str) -> str:
    found = shutil.which(program)
    assert found is not None, program
    return found


def _run(program: str, *arguments: str, cwd: Path) -> None:
    command = [_path(program), *arguments]
    subprocess.run(command, check=True, capture_output=True, cwd=cwd, timeout=180)
