"""What an operator may set: one frozen dataclass, defaults here, then server.toml, then arguments.

Reads DATA/server.toml; everything else of a server's folder is found by name below `data`.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from edgekit import codec
from edgekit.errors import FormatError, UsageError
from fleet_server.services.limits import ServiceLimits
from fleet_server.services.open_downloads import OpenDownloads

CONFIG_FILE = "server.toml"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What server.toml may hold.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 takes any free one.
        behind_proxy: A proxy that ends TLS stands in front; needed beyond loopback.
        tls_cert: File with the server's certificate and those between it and the authority (PEM);
            with it the server speaks HTTPS itself.
        tls_key: File with the certificate's private key (PEM).
        trusted_proxies: Addresses or networks of that proxy; only their headers are believed.
        proxy_authority: What the proxy sends as X-Authority beside X-Controller-Id for a device
            that it has identified by certificate; empty believes no such header.
        root_path: Where the server stands below its host behind the proxy, such as "/fleet".
        database: SQLAlchemy address; empty is a SQLite file in the server's folder.
        blobs: Bucket for bundles, s3://bucket/prefix; empty is the server's folder.
        blobs_endpoint: Address of an S3-compatible store other than Amazon's.
        online_secret_file: File with the secret that opens the online keys, the same on every
            machine; empty is keys/online.secret in the server's folder.
        poll_interval_s: How often devices are told to come.
        least_interval_s: A device is silent after three polling intervals, counted as at least
            this long each: an update keeps a device busy.
        tick_s: How often rollouts are stepped.
        clock_settle_s: How long a date that stepped has to stand before the server follows it.
        baseline_s: How far back before a swap a device's windows are its baseline.
        windows_kept_days: How long single windows are kept; older ones become sums a day.
        max_bundle_bytes: Largest blob that is taken.
        log_level: Lowest level that is logged: DEBUG, INFO, WARNING or ERROR.
        log_json: Log as one JSON object a line.
        limits: How much callers may ask for.
        downloads: What anybody may download, and where it lies besides.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    behind_proxy: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    proxy_authority: str = ""
    root_path: str = ""
    database: str = ""
    blobs: str = ""
    blobs_endpoint: str = ""
    online_secret_file: str = ""
    poll_interval_s: float = 300.0
    least_interval_s: float = 10.0
    tick_s: float = 2.0
    clock_settle_s: float = 600.0
    baseline_s: float = 3600.0
    windows_kept_days: float = 90.0
    max_bundle_bytes: int = 1 << 30
    log_level: str = "INFO"
    log_json: bool = False
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    downloads: OpenDownloads = field(default_factory=OpenDownloads)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """A server's folder and its settings.

    Attributes:
        data: Folder of the server, mode 0700.
        settings: From server.toml and arguments.
    """

    data: Path
    settings: Settings = Settings()

    @property
    def database_url(self) -> str:
        """SQLAlchemy address of the database."""
        return self.settings.database or f"sqlite:///{self.data / 'fleet.sqlite'}"

    @property
    def blobs(self) -> Path:
        """Folder of bundles, by digest; a cache of them when there is a bucket."""
        return self.data / "blobs"

    @property
    def online_secret(self) -> Path:
        """File with the secret that opens the server's own keys."""
        if self.settings.online_secret_file:
            return self.data / self.settings.online_secret_file
        return self.data / "keys" / "online.secret"

    @property
    def admin_token(self) -> Path:
        """File that `server init` writes the first administrator's token to."""
        return self.data / "admin.token"


def load_config(data: Path, overrides: Mapping[str, object]) -> ServerConfig:
    """Read DATA/server.toml where it exists, then apply arguments that are not None.

    Raises:
        UsageError: Unknown key, wrong type, or a value that makes no sense; names the key.
    """
    file = data / CONFIG_FILE
    settings = _read(file) if file.is_file() else Settings()
    given = {key: value for key, value in overrides.items() if value is not None}
    settings = replace(settings, **given)  # type: ignore[arg-type]
    _check(settings, where=str(file))
    return ServerConfig(data=data, settings=settings)


def _read(file: Path) -> Settings:
    try:
        mapping = tomllib.loads(file.read_text(encoding="utf-8"))
        unknown = sorted(set(mapping) - {field.name for field in fields(Settings)})
        if unknown:
            known = ", ".join(field.name for field in fields(Settings))
            raise UsageError(f"unknown key {unknown[0]!r}", where=str(file), todo=f"known: {known}")
        return codec.convert(mapping, Settings, where=str(file))
    except (OSError, ValueError, FormatError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(file)) from error


def _check(settings: Settings, *, where: str) -> None:
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise UsageError("tls_cert and tls_key belong together", where=where)
    if settings.host not in LOOPBACK and not (settings.behind_proxy or settings.tls_cert):
        raise UsageError(
            f"plain HTTP on {settings.host} would show tokens to the network",
            where=where,
            todo="listen on 127.0.0.1, give --tls-cert and --tls-key, or put a TLS proxy in front"
            " and say --behind-proxy",
        )
    positive = (
        "poll_interval_s",
        "least_interval_s",
        "tick_s",
        "clock_settle_s",
        "baseline_s",
        "max_bundle_bytes",
        "windows_kept_days",
    )
    for name in positive:
        if not 0 < getattr(settings, name) < float("inf"):
            raise UsageError(f"{name} must be above 0", where=where)
    settings.limits.check(where=where)
    settings.downloads.check(where=where)
    if settings.log_level not in _LEVELS:
        raise UsageError(f"log_level must be one of {', '.join(_LEVELS)}", where=where)
    _check_addresses(settings, where=where)


def _check_addresses(settings: Settings, *, where: str) -> None:
    for network in settings.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise UsageError(f"trusted_proxies: {network!r} is no network", where=where) from error
    if settings.root_path and not settings.root_path.startswith("/"):
        raise UsageError("root_path must begin with '/'", where=where)
    if settings.root_path.endswith("/"):
        raise UsageError("root_path must not end with '/'", where=where)
    if not 0 <= settings.port <= 65535:
        raise UsageError(f"port must be 0 to 65535, not {settings.port}", where=where)
