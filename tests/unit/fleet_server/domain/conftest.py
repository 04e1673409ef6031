"""Builders of evidence, so that a test says only what it is about."""

import math
from collections.abc import Callable

import pytest

from fleet_server.domain.deployment import DeploymentState
from fleet_server.domain.evidence import (
    DeviceEvidence,
    Evidence,
    Population,
    Role,
    Stratum,
    Summary,
)

MakeDevice = Callable[..., DeviceEvidence]
MakeEvidence = Callable[..., Evidence]


def _summary(ms: float | None, *, windows: int, inferences: int, errors: int = 0) -> Summary:
    if ms is None:
        return Summary()
    n = inferences - errors
    return Summary(
        windows=windows,
        inferences=inferences,
        errors=errors,
        latencies=n,
        sum_log_latency=n * math.log(ms),
        sum_sq_log_latency=n * math.log(ms) ** 2,
    )


@pytest.fixture(scope="session")
def canary() -> MakeDevice:
    """Return a builder of canaries that committed and did well: 20 ms before, 20 ms after."""

    def make(
        name: str,
        *,
        variant: str = "a",
        site: str = "",
        before_ms: float | None = 20.0,
        after_ms: float | None = 20.0,
        windows: int = 10,
        inferences: int = 1000,
        errors: int = 0,
        outcome: DeploymentState | None = DeploymentState.COMMITTED,
        silent: bool = False,
        role: Role = Role.CANARY,
    ) -> DeviceEvidence:
        return DeviceEvidence(
            device_id=name,
            stratum=Stratum(variant=variant),
            role=role,
            site=site,
            outcome=outcome if role is Role.CANARY else None,
            silent=silent,
            before=_summary(before_ms, windows=10, inferences=1000),
            after=_summary(after_ms, windows=windows, inferences=inferences, errors=errors),
        )

    return make


@pytest.fixture(scope="session")
def control(canary: MakeDevice) -> MakeDevice:
    """Return a builder of controls."""

    def make(name: str, **said: object) -> DeviceEvidence:
        return canary(name, role=Role.CONTROL, **said)

    return make


@pytest.fixture(scope="session")
def gathered() -> MakeEvidence:
    """Return a builder of evidence whose populations are the devices in it."""

    def make(*devices: DeviceEvidence) -> Evidence:
        populations = []
        for stratum in sorted({d.stratum for d in devices}):
            members = [d for d in devices if d.stratum == stratum]
            taking = sum(d.role is Role.CANARY for d in members)
            populations.append(
                Population(stratum=stratum, reachable=len(members), taking_part=taking)
            )
        return Evidence(devices=devices, populations=tuple(populations))

    return make
