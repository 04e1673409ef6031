"""What anybody may download, and from where: the table [downloads] of server.toml. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from edgekit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDownloads:
    """The table [downloads] of server.toml.

    Attributes:
        public: Bundles of listed releases are served to anybody who knows their SHA-256.
        mirror: Address below which devices find `bundles/<sha256>` too, such as that of a CDN in
            front of this server, "https://cdn.example/fleet"; empty is none.
    """

    public: bool = False
    mirror: str = ""

    def link(self, digest: str) -> str:
        """Return where a bundle lies at the mirror; empty without one."""
        return f"{self.mirror}/bundles/{digest}" if self.mirror else ""

    def check(self, *, where: str) -> None:
        """Do nothing if the values make sense.

        Raises:
            UsageError: The mirror is no plain http or https address without a slash at its end.
        """
        try:
            parts = urlsplit(self.mirror)
        except ValueError as error:
            raise UsageError(f"downloads.mirror: {error}", where=where) from error
        plain = not (parts.query or parts.fragment or "@" in parts.netloc)
        good = parts.scheme in {"http", "https"} and parts.hostname and plain
        if self.mirror and (not good or self.mirror.endswith("/")):
            raise UsageError(
                "downloads.mirror must be an address such as https://cdn.example/fleet",
                where=where,
                todo="without credentials, without a slash at the end",
            )
