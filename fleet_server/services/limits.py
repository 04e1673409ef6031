"""How much callers may ask for, each and together: the table [limits] of server.toml. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields

from edgekit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """The table [limits] of server.toml; each process counts for itself, and 0 is no limit.

    Attributes:
        device_requests_per_s: Of one device, in the long run; half a minute's worth at once.
        token_requests_per_s: Of one person's or program's token, likewise.
        address_requests_per_s: Of one address, counting requests that show no token, likewise.
        wrong_tokens_per_s: Of one address; a hundred seconds' worth at once.
        requests_at_once: Of all callers together, polls known by heart not counted; at least 1.
        downloads_per_site: Devices with the same label `site` that download at the same time,
            counted over all processes.
    """

    device_requests_per_s: float = 50.0
    token_requests_per_s: float = 100.0
    address_requests_per_s: float = 100.0
    wrong_tokens_per_s: float = 1.0
    requests_at_once: int = 1000
    downloads_per_site: int = 0

    def check(self, *, where: str) -> None:
        """Do nothing if the values make sense.

        Raises:
            UsageError: One does not; names it.
        """
        if self.requests_at_once < 1:
            raise UsageError("limits.requests_at_once must be 1 or more", where=where)
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise UsageError(f"limits.{field.name} must be 0 or more", where=where)
