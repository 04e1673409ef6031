"""A rollout under any order of reports, silence, time and people's verbs.

The machine keeps a small fleet of its own and checks, after every step, what must always hold:
no stage is skipped, nothing widens without evidence of every variant, terminal phases stay, a
failure reaches everybody who was exposed, and stepping twice changes nothing.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgekit.shadow import ShadowResult
from edgekit.verdict import Verdict
from fleet_server.domain.assignment import Candidate, populations
from fleet_server.domain.deployment import FAILED_STATES, DeploymentKind, DeploymentState
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Role, Stratum, Summary
from fleet_server.domain.goal import DeviceHistory, ReleaseState, find_goal
from fleet_server.domain.happenings import Happening, StageJudged
from fleet_server.domain.policy import GatePolicy, OnFail, RolloutPolicy, Shadow, Stage
from fleet_server.domain.reach import includes, shadow_at
from fleet_server.domain.rollout import (
    TERMINAL_PHASES,
    UNDONE_PHASES,
    Phase,
    Rollout,
    new_rollout,
    open_stage,
    step,
)
from fleet_server.domain.steering import abort, pause, promote, resume

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
MIN_WINDOWS = 5
VARIANTS = {f"{variant}{i}": variant for variant in "ab" for i in range(4)}
DEVICES = st.sampled_from(sorted(VARIANTS))
STAGE = Stage(bake_s=60, timeout_s=300, min_windows=MIN_WINDOWS)
LISTED = dict.fromkeys(("1.0.0", "1.1.0"), ReleaseState.LISTED)

stages = st.lists(
    st.one_of(
        st.builds(lambda n: replace(STAGE, devices_per_variant=n), st.integers(1, 3)),
        st.builds(lambda p: replace(STAGE, percent=p), st.integers(1, 99)),
    ),
    max_size=3,
).map(
    lambda some: (
        *sorted(some, key=lambda s: (s.percent or 0, s.devices_per_variant or 0)),
        replace(STAGE, percent=100),
    )
)


def of(device_id: str) -> Stratum:
    return Stratum(variant=VARIANTS[device_id])


def worked(windows: int) -> Summary:
    return Summary(
        windows=windows,
        inferences=windows * 10,
        latencies=windows * 10,
        sum_log_latency=windows * 30.0,
    )


class RolloutMachine(RuleBasedStateMachine):
    @initialize(stages=stages, on_fail=st.sampled_from(OnFail), allowed=st.integers(0, 2))
    def start(self, stages: tuple[Stage, ...], on_fail: OnFail, allowed: int) -> None:
        gate = GatePolicy(max_failed_devices=allowed)
        policy = RolloutPolicy(stages=stages, gate=gate, on_fail=on_fail)
        self.now = START
        self.outcomes: dict[str, DeploymentState] = {}
        self.windows = dict.fromkeys(VARIANTS, 0)
        self.silent: set[str] = set()
        self.included: set[str] = set()
        self.rollout = new_rollout(
            rollout_id="r1", model="digits", version="1.1.0", policy=policy, now=START
        )

    def candidates(self) -> list[Candidate]:
        return [
            Candidate(
                device_id=device_id,
                stratum=Stratum(variant=variant),
                last_polled_at=START if device_id in self.silent else self.now,
                poll_interval_s=0 if device_id in self.silent else 60,
                baseline_windows=10,
            )
            for device_id, variant in VARIANTS.items()
        ]

    def role_of(self, device_id: str) -> Role:
        takes_part = includes(self.rollout, device_id, of(device_id))
        return Role.CANARY if takes_part else Role.CONTROL

    def evidence(self) -> Evidence:
        def takes(candidate: Candidate) -> bool:
            return includes(self.rollout, candidate.device_id, candidate.stratum)

        devices = tuple(
            DeviceEvidence(
                device_id=device_id,
                stratum=Stratum(variant=variant),
                role=Role.CANARY
                if includes(self.rollout, device_id, of(device_id))
                else Role.CONTROL,
                outcome=self.outcomes.get(device_id),
                silent=device_id in self.silent,
                before=worked(10),
                after=worked(self.windows[device_id]),
            )
            for device_id, variant in VARIANTS.items()
        )
        counted = populations(self.candidates(), self.now, takes=takes)
        return Evidence(devices=devices, populations=counted)

    def change(self, after: Rollout, happenings: tuple[Happening, ...], *, person: bool) -> None:
        """Accept what a verb or a step did, if it is allowed to."""
        before = self.rollout
        if before.phase in TERMINAL_PHASES:
            assert (after, happenings) == (before, ())
        widened = after.stage_index - before.stage_index
        assert widened in (0, 1)
        if (widened or after.phase is Phase.FINISHED is not before.phase) and not person:
            assert self.every_variant_reported()
            (judged,) = [h for h in happenings if isinstance(h, StageJudged)]
            assert judged.judgement.verdict is Verdict.PASS
        assert after.chosen >= before.chosen
        self.rollout = after

    def every_variant_reported(self) -> bool:
        """Say, from the machine's own books, whether each variant that is there has evidence."""
        for variant in "ab":
            members = {d for d, v in VARIANTS.items() if v == variant}
            taking = {d for d in members if includes(self.rollout, d, of(d))}
            good = {
                d
                for d in taking
                if self.outcomes.get(d) is DeploymentState.COMMITTED
                and self.windows[d] >= MIN_WINDOWS
            }
            if (taking or members - self.silent) and not good:
                return False
        return True

    @rule()
    def step(self) -> None:
        evidence = self.evidence()
        failed = sum(d.outcome in FAILED_STATES for d in evidence.devices if d.role is Role.CANARY)
        live = self.rollout.stage_started_at is not None and not self.rollout.is_terminal
        after, happenings = step(self.rollout, evidence, self.now)
        policy = self.rollout.policy
        if live and failed > policy.gate.max_failed_devices:
            expected = Phase.ROLLED_BACK if policy.on_fail is OnFail.ROLL_BACK else after.phase
            assert after.phase is expected
            assert after.phase is not Phase.RUNNING
            assert after.stage_index == self.rollout.stage_index
        self.change(after, happenings, person=False)
        if self.rollout.phase is not Phase.RUNNING or not happenings:
            assert step(self.rollout, self.evidence(), self.now) == (self.rollout, ())

    @rule()
    def open(self) -> None:
        self.change(*open_stage(self.rollout, self.candidates(), self.now), person=False)

    @rule(seconds=st.sampled_from([1, 30, 60, 299, 300]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(device_id=DEVICES, windows=st.integers(0, 7))
    def commit_and_work(self, device_id: str, windows: int) -> None:
        if includes(self.rollout, device_id, of(device_id)) and device_id not in self.outcomes:
            self.outcomes[device_id] = DeploymentState.COMMITTED
        self.windows[device_id] += windows
        self.silent.discard(device_id)

    @rule()
    def everybody_works(self) -> None:
        for device_id in VARIANTS:
            self.commit_and_work(device_id, MIN_WINDOWS)

    @rule(device_id=DEVICES, state=st.sampled_from(sorted(FAILED_STATES)))
    def fail(self, device_id: str, state: DeploymentState) -> None:
        if includes(self.rollout, device_id, of(device_id)) and device_id not in self.outcomes:
            self.outcomes[device_id] = state

    @rule(device_id=DEVICES)
    def fall_silent(self, device_id: str) -> None:
        self.silent.add(device_id)

    @precondition(lambda self: not self.rollout.is_terminal)
    @rule()
    def pause(self) -> None:
        self.change(*pause(self.rollout, by="ana", now=self.now), person=True)

    @precondition(lambda self: self.rollout.phase in {Phase.HELD, Phase.PAUSED})
    @rule()
    def resume(self) -> None:
        self.change(*resume(self.rollout, by="ana", now=self.now), person=True)

    @precondition(lambda self: not self.rollout.is_terminal and self.rollout.stage_started_at)
    @rule(sure=st.integers(0, 3))
    def promote(self, sure: int) -> None:
        if sure == 3:
            self.change(*promote(self.rollout, by="ana", now=self.now), person=True)

    @precondition(lambda self: not self.rollout.is_terminal)
    @rule(sure=st.integers(0, 9))
    def abort(self, sure: int) -> None:
        if sure == 9:
            self.change(*abort(self.rollout, by="ana", now=self.now), person=True)

    @invariant()
    def nobody_leaves_a_rollout_that_goes_on(self) -> None:
        included = {d for d in VARIANTS if includes(self.rollout, d, of(d))}
        assert included >= self.included
        self.included = included

    @invariant()
    def goals_follow_the_phase(self) -> None:
        first = replace(
            self.rollout,
            id="r0",
            version="1.0.0",
            created_at=START - timedelta(days=1),
            phase=Phase.FINISHED,
            stage_index=len(self.rollout.policy.stages) - 1,
            stage_started_at=START,
        )
        for device_id in VARIANTS:
            failed = self.outcomes.get(device_id) in FAILED_STATES
            runs_it = self.outcomes.get(device_id) is DeploymentState.COMMITTED
            device = DeviceHistory(
                device_id=device_id,
                running="1.1.0" if runs_it else "1.0.0",
                running_from="r1" if runs_it else "r0",
                committed=("1.0.0", "1.1.0") if runs_it else ("1.0.0",),
                failed=frozenset({"1.1.0"} if failed else ()),
                strata={"1.1.0": of(device_id)},
            )
            goal = find_goal(device, [self.rollout, first], LISTED)
            if self.rollout.phase in UNDONE_PHASES and runs_it:
                assert (goal.version, goal.kind) == ("1.0.0", DeploymentKind.ROLLBACK)
            elif goal.version is not None:
                assert goal.version == "1.1.0"
                assert includes(self.rollout, device_id, of(device_id))
                assert not failed
                assert self.rollout.phase in {Phase.RUNNING, Phase.FINISHED}


class ShadowMachine(RolloutMachine):
    """The same with a first stage that activates nothing."""

    @initialize(stages=stages, on_fail=st.sampled_from(OnFail), allowed=st.integers(0, 2))
    def start(self, stages: tuple[Stage, ...], on_fail: OnFail, allowed: int) -> None:
        first = replace(STAGE, percent=50, shadow=Shadow(min_pairs=10))
        super().start((first, *stages), on_fail, allowed)
        self.found: dict[str, ShadowResult] = {}

    def evidence(self) -> Evidence:
        plain = super().evidence()
        if self.rollout.stage.shadow is None:
            return plain
        devices = tuple(
            replace(
                device,
                shadow=self.found.get(device.device_id),
                outcome=self.outcomes.get(device.device_id)
                or (DeploymentState.SHADOWED if device.device_id in self.found else None),
            )
            for device in plain.devices
        )
        return replace(plain, devices=devices)

    def every_variant_reported(self) -> bool:
        if self.rollout.stage.shadow is None:
            return super().every_variant_reported()
        taking = {d for d in VARIANTS if includes(self.rollout, d, of(d))}
        agreeing = {d for d in taking if d in self.found and self.found[d].agreement >= 0.95}
        return all(any(VARIANTS[d] == v for d in agreeing) for v in "ab" if self.there(v, taking))

    def there(self, variant: str, taking: set[str]) -> bool:
        """Say whether a variant takes part, or could."""
        members = {d for d, v in VARIANTS.items() if v == variant}
        return bool(taking & members or members - self.silent)

    @rule(device_id=DEVICES, windows=st.integers(0, 7))
    def commit_and_work(self, device_id: str, windows: int) -> None:
        if shadow_at(self.rollout, of(device_id)) is None:
            super().commit_and_work(device_id, windows)
            return
        self.silent.discard(device_id)
        if includes(self.rollout, device_id, of(device_id)):
            self.found[device_id] = ShadowResult(pairs=10 * windows, agreed=10 * windows)

    @rule(device_id=DEVICES)
    def disagree(self, device_id: str) -> None:
        if includes(self.rollout, device_id, of(device_id)):
            self.found[device_id] = ShadowResult(pairs=100, agreed=10)

    @invariant()
    def nobody_activates_before_a_shadow_has_passed(self) -> None:
        if self.rollout.stage_index > 0 or self.rollout.phase is Phase.FINISHED:
            return
        for device_id in VARIANTS:
            device = DeviceHistory(
                device_id=device_id, running="1.0.0", strata={"1.1.0": of(device_id)}
            )
            goal = find_goal(device, [self.rollout], LISTED)
            assert goal.version is None or goal.shadow is not None


TestRollout = RolloutMachine.TestCase
TestShadow = ShadowMachine.TestCase
TestShadow.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRollout.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
