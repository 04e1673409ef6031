"""Wire types of releases."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.device import Requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantView:
    """One variant of a release."""

    variant: str
    digest: str
    size: int
    target: str
    requires: Requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRelease:
    """POST /releases: publish variants that lie on the server as blobs already.

    Attributes:
        model: Name of the model.
        version: Version of the release.
        targets: The model's new signed targets metadata (JSON text), which lists the bundles.
    """

    model: str
    version: str
    targets: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseView:
    """GET /releases/{model}/{version}.

    Attributes:
        state: "published", "withdrawn" or "revoked".
    """

    model: str
    version: str
    state: str
    published_at: str
    variants: tuple[VariantView, ...] = ()
