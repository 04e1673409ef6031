"""Making a device known to a server: once, by a file that an operator carries to it."""

from __future__ import annotations

from pathlib import Path

from device_agent.config import Config, Layout
from device_agent.identity import Identity
from device_agent.profile import detect_apart
from device_agent.transport import Transport
from edgekit import codec
from edgekit.errors import ConflictError, StorageError
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
    _make_folder(layout.folder)
    request = EnrolRequest(
        token=file.token,
        device_id=device_id,
        profile=detect_apart(config.runtimes),
        attributes=dict(config.attributes),
    )
    server = file.server.rstrip("/")
    answer = Transport(server, {"Accept": "application/json"}).request(
        "POST",
        server + ENROL_PATH,
        body=codec.encode(request),
        headers={"Content-Type": "application/json"},
    )
    known = codec.decode(answer.body, EnrolResponse, where=server + ENROL_PATH)
    _pin(layout.trust, known.root, file.root_sha256)
    identity = Identity(
        server=server, device_id=known.device_id, token=known.device_token, tenant=known.tenant
    )
    identity.save(layout.identity)
    return identity


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise StorageError(f"cannot be made ({error.strerror})", where=str(folder)) from error


def _pin(folder: Path, root: str, sha256: str) -> None:
    from edgekit.trust.verifying import TrustStore

    TrustStore(folder).pin(root.encode(), sha256=sha256)
