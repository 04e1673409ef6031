"""What is stored of deployments, and of what devices said about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edgekit.shadow import ShadowOrder, ShadowResult
from fleet_server.domain.deployment import ENDED_STATES, Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRecord:
    """A deployment with what the device protocol and people need besides.

    Attributes:
        deployment: The domain's value.
        digest: SHA-256 of the bundle offered.
        detail: The device's last words about it, one line.
        activated_at: UTC, when it said that it runs on trial; None if never.
        ended_at: UTC; None while it goes on.
        retrieved: The device fetched the offer.
        cancelling: It was taken back after the device had fetched it and has not said so yet.
        forgiven: A person asked for a retry: it no longer counts as failed here.
        awaiting: It is shown for confirmation; nothing is downloaded before somebody confirms.
        shadow: The device shall only try it so, and not activate it; None to activate it.
        found: What the device found that way.
    """

    deployment: Deployment
    digest: str
    detail: str = ""
    activated_at: datetime | None = None
    ended_at: datetime | None = None
    retrieved: bool = False
    cancelling: bool = False
    forgiven: bool = False
    awaiting: bool = False
    shadow: ShadowOrder | None = None
    found: ShadowResult | None = None

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.deployment.state not in ENDED_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecord:
    """What a device said about an action, kept for `actionHistory`.

    Attributes:
        at: UTC, when it came.
        execution: The protocol's word.
        messages: The device's words, in its order.
    """

    at: datetime
    execution: str
    messages: tuple[str, ...]
