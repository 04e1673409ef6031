"""Who the device is: address of the server, name and token, in one file that only it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from edgekit import codec
from edgekit.durable import write_durably
from edgekit.errors import UsageError
from edgekit.protocol import TENANT


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A device as its server knows it.

    Attributes:
        server: Address of the server, without a slash at the end.
        device_id: Name of the device.
        token: Proves it, 256 random bits.
        tenant: Path segment of the DDI address.
        servers: Further addresses of the same server.
        token_since_s: When the token came, seconds since 1970; 0 when that is not known.
        format_version: Of identity.json.
    """

    server: str
    device_id: str
    token: str = field(repr=False)
    tenant: str = TENANT
    servers: tuple[str, ...] = ()
    token_since_s: float = 0.0
    format_version: str = "1.0"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address of the server, the preferred one first."""
        return (self.server, *self.servers)

    @property
    def base_url(self) -> str:
        """DDI address of the device."""
        return f"{self.server}/{self.tenant}/controller/v1/{quote(self.device_id, safe='')}"

    @property
    def trust_url(self) -> str:
        """Where the metadata lies when a poll names no other place."""
        return f"{self.server}/{self.tenant}/tuf/metadata/"

    @property
    def authorization(self) -> str:
        """Value of the header that proves the identity."""
        return f"TargetToken {self.token}"

    def save(self, path: Path) -> None:
        """Write the file, 0600; durable on return."""
        write_durably(path, codec.encode(self), mode=0o600)


def load_identity(path: Path) -> Identity:
    """Read who the device is.

    Raises:
        UsageError: The device is not enrolled.
        FormatError: The file is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            "this device is not enrolled",
            where=str(path.parent),
            todo="run: edgekit-agent enrol --file FILE --id NAME --state DIR",
        ) from error
    identity = codec.decode(data, Identity, where=str(path))
    codec.check_major(identity.format_version, 1, where=str(path))
    return identity
