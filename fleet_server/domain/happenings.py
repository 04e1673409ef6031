"""What happened to a rollout: facts that are stored, shown and sent on, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from fleet_server.domain.judgement import Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStarted:
    """It left SCHEDULED."""

    kind: ClassVar[str] = "rollout_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted:
    """A stage is open: its devices are offered the release from now on.

    Attributes:
        stage: Index from 0.
        chosen: Device ids that were newly chosen for it by number, sorted.
        late: Variants (and classes of profile) that came later and still have to pass the stages
            before this one, for which it is open again; empty when it opens.
    """

    kind: ClassVar[str] = "stage_started"
    stage: int
    chosen: tuple[str, ...] = ()
    late: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageJudged:
    """A planned look was taken, or a verdict ended the stage."""

    kind: ClassVar[str] = "stage_judged"
    stage: int
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """The stage is over and the next one follows.

    Attributes:
        stage: Index of the stage that is over.
        by: The person who decided; empty for the gate.
    """

    kind: ClassVar[str] = "promoted"
    stage: int
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The gate says wait: a person must look."""

    kind: ClassVar[str] = "held"
    stage: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """No new offers until somebody resumes.

    Attributes:
        stage: Index of the stage.
        by: The person; empty when FAIL pauses by policy.
        reason: Why.
    """

    kind: ClassVar[str] = "paused"
    stage: int
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """It goes on where it stood."""

    kind: ClassVar[str] = "resumed"
    stage: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """The gate cannot say, and the stage gets its time once more."""

    kind: ClassVar[str] = "extended"
    stage: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """A person lets devices be offered again what failed there.

    Attributes:
        stage: Index of the stage.
        by: The person.
        devices: Their ids, sorted.
    """

    kind: ClassVar[str] = "retried"
    stage: int
    by: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A second person let the stage open."""

    kind: ClassVar[str] = "approved"
    stage: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """The gate said FAIL: devices that run the release go back."""

    kind: ClassVar[str] = "rolled_back"
    stage: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted:
    """A person stopped it: devices that run the release go back."""

    kind: ClassVar[str] = "aborted"
    stage: int
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last stage is over; the release is what matching devices run."""

    kind: ClassVar[str] = "finished"
    stage: int


Happening: TypeAlias = (
    RolloutStarted
    | StageStarted
    | StageJudged
    | Promoted
    | Held
    | Extended
    | Approved
    | Retried
    | Paused
    | Resumed
    | RolledBack
    | Aborted
    | Finished
)
