"""Wire types of A/B experiments."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExperiment:
    """POST /experiments: hold releases side by side.

    Attributes:
        model: Name of the model.
        arms: Version to percent of the matching devices; the first is compared with.
        selector: Labels that a device must have; empty for every device.
        hold_s: Least time before a winner may be promoted, seconds.
    """

    model: str
    arms: dict[str, float]
    selector: str = ""
    hold_s: float = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmView:
    """One arm of an experiment.

    Attributes:
        version: The release.
        share: Percent of the matching devices.
        devices: Matching devices that drew it.
        running: Those of them that run it.
        labelled: Answers there that have a label.
        accuracy: Share of them that are right; None without labels.
        low: Lower end of its 95 % Wilson interval; None without labels.
        high: Upper end.
    """

    version: str
    share: float
    devices: int
    running: int
    labelled: int = 0
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectView:
    """How an arm differs from the first by one metric; see `sentence`.

    Attributes:
        metric: Name of the metric.
        version: The arm.
        effect: Relative difference; None where it cannot be compared.
        low: Lower end of its 95 % interval.
        high: Upper end.
        sentence: The same for people.
    """

    metric: str
    version: str
    sentence: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentView:
    """GET /experiments/{id}.

    Attributes:
        id: Its identity.
        model: Name of the model.
        phase: "running", "stopped" or "promoted".
        started_at: When it began.
        started_by: Who began it.
        ready: Held as long as it was meant to be.
        winner: Version that was promoted.
        rollout: Rollout that promotes it.
        arms: In the order in which they were named.
        effects: Every arm but the first, by metric; empty in lists.
    """

    id: str
    model: str
    phase: str
    started_at: str
    started_by: str
    ready: bool
    winner: str = ""
    rollout: str = ""
    arms: tuple[ArmView, ...] = ()
    effects: tuple[EffectView, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """POST /experiments/{id}/promote: the release that every matching device shall get."""

    version: str
