"""What is stored of releases and their variants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edgekit.device import Requirements
from fleet_server.domain.goal import ReleaseState


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRecord:
    """One published bundle.

    Attributes:
        variant: Name of the variant.
        digest: SHA-256 of the bundle.
        sha1: For device clients that know nothing better.
        md5: The same.
        size: Bytes.
        target: Path in trust metadata.
        requires: What a device needs to run it.
        file: Name of the file when it is no bundle but made for a foreign client, such as
            "update.swu"; empty for a bundle.
    """

    variant: str
    digest: str
    sha1: str
    md5: str
    size: int
    target: str
    requires: Requirements
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRecord:
    """A published release: everything but `state` never changes."""

    model: str
    version: str
    state: ReleaseState
    published_at: datetime
    variants: tuple[VariantRecord, ...]

    def variant(self, name: str) -> VariantRecord | None:
        """Return a variant by name."""
        return next((v for v in self.variants if v.variant == name), None)
