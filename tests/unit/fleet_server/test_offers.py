"""What a device is offered, taken back, or left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edgekit.device import DeviceProfile, Requirements, RuntimeRange
from fleet_server.domain.deployment import Deployment, DeploymentKind, DeploymentState
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.policy import RolloutPolicy, Stage
from fleet_server.domain.rollout import Phase, Rollout
from fleet_server.domain.selector import parse_selector
from fleet_server.services.fleet_plan import FleetPlan, make_plan
from fleet_server.services.offers import is_obsolete, next_offer
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.records.rollouts import RolloutRecord

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
S = DeploymentState
PROFILE = DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64")
DEVICE = DeviceRecord(
    id="one",
    token_sha256="t",
    enrolled_by="e",
    enrolled_at=NOW,
    profile=PROFILE,
    speaks_running=True,
    labels={"site": "a"},
)


def digest(version: str, variant: str = "onnx") -> str:
    return f"{version}-{variant}"


def release(version: str, *, state: ReleaseState = ReleaseState.LISTED) -> ReleaseRecord:
    def variant(name: str, runtime: str) -> VariantRecord:
        return VariantRecord(
            variant=name,
            digest=digest(version, name),
            sha1="",
            md5="",
            size=1,
            target="t",
            requires=Requirements(runtimes=(RuntimeRange(name=runtime),)),
        )

    return ReleaseRecord(
        model="m",
        version=version,
        state=state,
        published_at=NOW,
        variants=(variant("lite", "litert"), variant("onnx", "onnxruntime")),
    )


def rollout(
    version: str, *, phase: Phase = Phase.RUNNING, at: int = 0, **selector: str
) -> RolloutRecord:
    made = Rollout(
        id=f"r-{version}",
        model="m",
        version=version,
        policy=RolloutPolicy(stages=(Stage(percent=100),)),
        created_at=NOW + timedelta(minutes=at),
        phase=phase,
        stage_started_at=NOW,
        changed_at=NOW,
    )
    return RolloutRecord(rollout=made, selector=parse_selector(selector))


def deployed(
    version: str,
    state: S,
    *,
    action: int = 1,
    kind: DeploymentKind = DeploymentKind.ROLLOUT,
    variant: str = "onnx",
    forgiven: bool = False,
) -> DeploymentRecord:
    deployment = Deployment(
        id=action,
        device_id="one",
        rollout_id=f"r-{version}",
        model="m",
        version=version,
        variant=variant,
        kind=kind,
        state=state,
        offered_at=NOW,
        changed_at=NOW,
    )
    return DeploymentRecord(
        deployment=deployment, digest=digest(version, variant), forgiven=forgiven
    )


def running(version: str, variant: str = "onnx") -> DeviceRecord:
    return replace(DEVICE, running={"m": digest(version, variant)})


def plan(*rollouts: RolloutRecord, **states: ReleaseState) -> FleetPlan:
    versions = ("1", "2")
    releases = [release(v, state=states.get(f"v{v}", ReleaseState.LISTED)) for v in versions]
    return make_plan(releases, rollouts)


ONE, TWO = rollout("1"), rollout("2", at=1)
BACK = rollout("2", at=1, phase=Phase.ROLLED_BACK)


@pytest.mark.parametrize(
    ("device", "deployments", "fleet", "offered"),
    [
        (DEVICE, [], plan(), None),
        (DEVICE, [], plan(ONE), ("1", "onnx", "rollout")),
        (replace(DEVICE, profile=None), [], plan(ONE), None),
        (DEVICE, [], plan(rollout("1", site="b")), None),
        (DEVICE, [], plan(rollout("1", site="a")), ("1", "onnx", "rollout")),
        (DEVICE, [], plan(rollout("1", phase=Phase.PAUSED)), None),
        (DEVICE, [], plan(ONE, v1=ReleaseState.WITHDRAWN), None),
        (DEVICE, [deployed("1", S.REJECTED)], plan(ONE), None),
        (DEVICE, [deployed("1", S.FAILED, forgiven=True)], plan(ONE), ("1", "onnx", "rollout")),
        (running("1"), [deployed("1", S.COMMITTED)], plan(ONE), None),
        (running("1"), [deployed("1", S.COMMITTED)], plan(ONE, TWO), ("2", "onnx", "rollout")),
        (
            running("2"),
            [deployed("1", S.COMMITTED), deployed("2", S.COMMITTED, action=2)],
            plan(ONE, BACK),
            ("1", "onnx", "rollback"),
        ),
        (
            running("2"),
            [deployed("1", S.COMMITTED, variant="lite"), deployed("2", S.COMMITTED, action=2)],
            plan(ONE, BACK),
            ("1", "lite", "rollback"),
        ),
        (
            running("1"),
            [deployed("1", S.COMMITTED), deployed("2", S.REVERTED, action=2)],
            plan(ONE, BACK),
            None,
        ),
        (running("2"), [deployed("2", S.COMMITTED)], plan(BACK), None),
    ],
    ids=[
        "no rollout",
        "the variant that fits",
        "a profile that nobody knows",
        "another site",
        "its site",
        "paused",
        "withdrawn",
        "rejected before",
        "failed and forgiven",
        "has it",
        "the newer one",
        "back from a bad one",
        "back to the very bundle it had",
        "went back by itself",
        "nothing to go back to",
    ],
)
def test_what_is_offered(
    device: DeviceRecord,
    deployments: list[DeploymentRecord],
    fleet: FleetPlan,
    offered: tuple[str, str, str] | None,
) -> None:
    offer = next_offer(device, deployments, fleet)
    found = offer and (offer.version, offer.variant.variant, offer.goal.kind.value)
    assert found == offered


@pytest.mark.parametrize(
    ("device", "state", "fleet", "obsolete"),
    [
        (DEVICE, S.OFFERED, plan(ONE), False),
        (DEVICE, S.OFFERED, plan(ONE, TWO), True),
        (DEVICE, S.DOWNLOADING, plan(rollout("1", phase=Phase.ABORTED)), True),
        (DEVICE, S.DOWNLOADING, plan(rollout("1", phase=Phase.PAUSED)), False),
        (DEVICE, S.ACTIVATED, plan(rollout("1", phase=Phase.ABORTED)), False),
        (running("1"), S.DOWNLOADING, plan(rollout("1", phase=Phase.ABORTED)), False),
        (DEVICE, S.OFFERED, plan(ONE, v1=ReleaseState.WITHDRAWN), True),
    ],
    ids=[
        "wanted",
        "overtaken by a newer one",
        "aborted",
        "paused: who is at it goes on",
        "on trial: its end is awaited",
        "runs already: its report is awaited",
        "withdrawn",
    ],
)
def test_when_an_offer_is_taken_back(
    device: DeviceRecord, state: S, fleet: FleetPlan, obsolete: bool
) -> None:
    current = deployed("1", state)
    assert is_obsolete(device, current, [current], fleet) is obsolete


def test_a_device_that_cannot_say_what_it_runs_has_what_it_kept() -> None:
    foreign = replace(DEVICE, speaks_running=False)
    assert next_offer(foreign, [deployed("1", S.REPORTED)], plan(ONE)) is None
