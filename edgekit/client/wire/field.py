"""Wire types of what the field tells: drift by the hour, labels that come later, accuracy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftView:
    """GET /drift: an hour of one device, or a day of a release, that left what is usual there.

    Attributes:
        device: The device; empty for all devices of a release against what it was proven on.
        model: Name of the model.
        digest: SHA-256 of the bundle that ran.
        hour: Beginning of the hour, of a day the latest.
        statistics: What drifted.
        text: The same with distances.
    """

    device: str
    model: str
    digest: str
    hour: str
    statistics: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLabels:
    """POST /labels: what samples really showed.

    Attributes:
        model: Name of the model.
        labels: Id of a request to the class that is right; a later label replaces an earlier one.
    """

    model: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsTaken:
    """Answer to POST /labels.

    Attributes:
        labels: How many were stored.
        matched: How many of them belong to an answer that a device recorded.
    """

    labels: int
    matched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyView:
    """GET /labels/{model}: accuracy in the field of one variant of one release.

    Attributes:
        version: The release.
        variant: The variant.
        devices: Devices whose answers were labelled.
        labelled: Answers that have a label.
        right: Those that agree with it.
        accuracy: Their share.
        low: Lower end of its 95 % Wilson interval.
        high: Upper end.
    """

    version: str
    variant: str
    devices: int
    labelled: int
    right: int
    accuracy: float
    low: float
    high: float
