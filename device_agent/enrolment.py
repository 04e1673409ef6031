"""Making a device known to a server: once, by a file that an operator carries to it."""

from __future__ import annotations

import os
import ssl
from dataclasses import replace
from pathlib import Path

from device_agent.config import Config, Layout
from device_agent.identity import Identity
from device_agent.profile import detect_apart
from device_agent.transport import Transport
from edgekit import codec
from edgekit.durable import write_durably
from edgekit.errors import ConflictError, FormatError, StorageError, UsageError
from edgekit.protocol import EnrolmentFile, EnrolRequest, EnrolResponse

ENROL_PATH = "/api/v1/enrol"


def read_enrolment(path: Path) -> EnrolmentFile:
    """Read the file of an operator.

    Raises:
        StorageError: It cannot be read.
        FormatError: It is no enrolment file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror})", where=str(path)) from error
    return codec.decode(data, EnrolmentFile, where=str(path))


def read_token(path: Path) -> str:
    """Read an enrolment token from a file of its own.

    Raises:
        StorageError: It cannot be read.
        UsageError: Others may read it, or it is empty.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(
                "others may read the token", where=str(path), todo=f"run: chmod 600 {path}"
            )
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot be read ({error})", where=str(path)) from error
    if not token:
        raise UsageError("holds no token", where=str(path))
    return token


def erase(path: Path) -> None:
    """Overwrite a file, flush that, and remove it: a token that was used is kept nowhere.

    Raises:
        StorageError: It cannot be removed.
    """
    try:
        with path.open("r+b") as file:
            file.write(b"\0" * path.stat().st_size)
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        raise StorageError(f"cannot be erased ({error.strerror})", where=str(path)) from error


def believe_only(ca: Path) -> None:
    """Let this process and those that it starts believe only the certificates in `ca`.

    OpenSSL reads these variables; nothing happens when there is no such file.
    """
    if ca.is_file():
        os.environ["SSL_CERT_FILE"] = str(ca.absolute())
        os.environ["SSL_CERT_DIR"] = str(ca.parent.absolute() / "no-system-certificates")


def enrol(file: EnrolmentFile, device_id: str, *, config: Config, layout: Layout) -> Identity:
    """Ask the server to know this device, pin the root of trust, and remember who it is.

    The root is pinned only if it has the digest that the operator brought; nothing is kept of a
    server that answers with another one.

    Args:
        file: What the operator brought.
        device_id: Name that the device shall have.
        config: Settings of the agent.
        layout: Of its folder, which is made (0700).

    Raises:
        ConflictError: The folder belongs to an enrolled device already.
        NetworkError: The server does not answer.
        RefusedError: The server refuses token or name.
        TrustError: The server's root is not the one that the operator named.
        StorageError: The folder cannot be written.
    """
    if layout.identity.exists():
        raise ConflictError(
            "this device is enrolled already", where=str(layout.folder), todo="use another folder"
        )
    if not file.token:
        raise UsageError("there is no enrolment token", todo="bring one with --token-file")
    _make_folder(layout.folder)
    if file.ca:
        _keep_ca(file.ca, layout.ca)
    believe_only(layout.ca)
    request = EnrolRequest(
        token=file.token,
        device_id=device_id,
        profile=detect_apart(config.runtimes),
        attributes=dict(config.attributes),
    )
    server = file.server.rstrip("/")
    servers = tuple(other.rstrip("/") for other in file.servers)
    answer = Transport((server, *servers), {"Accept": "application/json"}).request(
        "POST",
        server + ENROL_PATH,
        body=codec.encode(request),
        headers={"Content-Type": "application/json"},
    )
    known = codec.decode(answer.body, EnrolResponse, where=server + ENROL_PATH)
    _pin(layout.trust, known.root, file.root_sha256)
    identity = Identity(
        server=server,
        device_id=known.device_id,
        token=known.device_token,
        tenant=known.tenant,
        servers=servers,
    )
    identity.save(layout.identity)
    return identity


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise StorageError(f"cannot be made ({error.strerror})", where=str(folder)) from error


def zero_touch(file: Path, device_id: str, *, config: Config, layout: Layout) -> None:
    """Enrol at the first boot by a file that is used once, and erase it.

    A device that is enrolled already only erases what a power cut left. Raises as `enrol` does.
    """
    if not layout.identity.exists():
        enrol(read_enrolment(file), device_id, config=config, layout=layout)
    if file.exists():
        erase(file)


def with_token(file: EnrolmentFile, token_file: Path | None) -> EnrolmentFile:
    """Return the enrolment with a token that came in a file of its own."""
    return file if token_file is None else replace(file, token=read_token(token_file))


def _keep_ca(pem: str, path: Path) -> None:
    try:
        ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise FormatError("holds no certificates", where="ca") from error
    write_durably(path, pem.encode(), mode=0o600)


def pin_again(layout: Layout, root: Path, *, sha256: str) -> None:
    """Replace what this device trusts: for a person at the device, when too few keys are left.

    Raises:
        StorageError: A file cannot be read or written.
        TrustError: The root has another digest, or is not signed by its own keys.
    """
    try:
        data = root.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot be read ({error})", where=str(root)) from error
    _pin(layout.trust, data, sha256)


def _pin(folder: Path, root: str, sha256: str) -> None:
    from edgekit.trust.verifying import TrustStore

    TrustStore(folder).pin(root.encode(), sha256=sha256)
