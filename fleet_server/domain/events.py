"""What happens to a fleet besides its rollouts, by name. Stored and sent; never renamed."""

from __future__ import annotations

from enum import StrEnum


class EventKind(StrEnum):
    """One kind of event; those of rollouts are in `happenings`."""

    DEVICE_ENROLLED = "device_enrolled"
    DEVICE_WAITS = "device_waits"
    """It enrolled and waits for a person to accept it."""
    DEVICE_REPLACED = "device_replaced"
    """Other hardware took the place of a known device."""
    DEVICE_ACCEPTED = "device_accepted"
    DEVICE_QUARANTINED = "device_quarantined"
    DEVICE_CLONED = "device_cloned"
    """Two machines speak with one identity; it is quarantined."""
    DEVICE_REVOKED = "device_revoked"
    DEVICE_PINNED = "device_pinned"
    DEVICE_UNPINNED = "device_unpinned"
    DEVICE_PARAMETERS = "device_parameters"
    """Parameters of a model were set on it, or taken back."""
    DEVICE_RETRIED = "device_retried"
    DEPLOYMENT_FAILED = "deployment_failed"
    """A device refused a release, fell back from it, or could not install it."""
    BENCHMARK_ANSWERED = "benchmark_answered"
    RELEASE_PUBLISHED = "release_published"
    RELEASE_WITHDRAWN = "release_withdrawn"
    RELEASE_REVOKED = "release_revoked"
    GARBAGE_COLLECTED = "garbage_collected"
    FLEET_FROZEN = "fleet_frozen"
    FLEET_UNFROZEN = "fleet_unfrozen"
    CLOCK_STEPPED = "clock_stepped"
    """The date of the server's machine was set by more than it follows by and by."""
    ALARM_RAISED = "alarm_raised"
    ALARM_CLEARED = "alarm_cleared"
