"""Chapters 4 and 5: two good releases in stages, and one that is much too slow."""

from __future__ import annotations

from edgekit.client.wire.rollouts import RolloutView
from edgekit.demo.chapters.preparation import DEVICES, publish
from edgekit.demo.observing import (
    ever_ran,
    follow,
    running,
    seconds_to_recover,
    start_rollout,
    wait_until_running,
)
from edgekit.demo.outcome import Row
from edgekit.demo.scene import MODEL, Scene

GATE = """\
on_fail: roll_back
gate:
  mode: must_not_fail
  max_failed_devices: 0
  error_rate_budget: 0.02
  latency_times_before: 3.0
"""
FIRST_INSTALL = f"""\
stages:
  - {{percent: 100, bake_s: 3, timeout_s: 60, min_windows: 2, min_reporting: 1.0}}
{GATE}  latency_budget_ms: 50
"""
STAGED = f"""\
stages:
  - {{devices_per_variant: 1, bake_s: 4, timeout_s: 60, min_windows: 3, min_reporting: 1.0}}
  - {{percent: 50, bake_s: 4, timeout_s: 60, min_windows: 3, min_reporting: 1.0}}
  - {{percent: 100, bake_s: 4, timeout_s: 60, min_windows: 3, min_reporting: 1.0}}
{GATE}"""


def first_install(scene: Scene) -> None:
    """Roll 1.0.0 out to all: nothing ran before, so only absolute budgets can judge."""
    scene.chapter("4a  1.0.0 to all: a first install, judged by absolute budgets")
    publish(scene, "1.0.0")
    rollout = follow(scene, start_rollout(scene, "1.0.0", FIRST_INSTALL))
    found = wait_until_running(scene, "1.0.0", len(DEVICES))
    variants = [d.variants.get(MODEL, "") for d in scene.client.devices()]
    counts = {v: variants.count(v) for v in sorted(set(variants))}
    scene.note(
        Row(
            chapter="1.0.0 first install",
            expected="finished; 6 devices run it: 3 onnx-int8, 3 tflite-int8",
            observed=f"{rollout.phase}; {found} devices run it: "
            + ", ".join(f"{count} {variant}" for variant, count in counts.items()),
            holds=rollout.phase == "finished" and counts == {"onnx-int8": 3, "tflite-int8": 3},
        )
    )


def staged_update(scene: Scene) -> None:
    """Roll 1.1.0 out in three stages, each judged on telemetry that arrived."""
    scene.chapter("4b  1.1.0 (retrained): one device a variant, 50 %, 100 %")
    publish(scene, "1.1.0")
    rollout = follow(scene, start_rollout(scene, "1.1.0", STAGED), timeout_s=120)
    found = wait_until_running(scene, "1.1.0", len(DEVICES))
    judged = _windows_judged(rollout)
    scene.note(
        Row(
            chapter="1.1.0 in stages",
            expected="3 stages passed on telemetry, finished; 6 devices run it",
            observed=f"{len(judged)} stages passed on {', '.join(map(str, judged))} "
            f"judged devices, {rollout.phase}; {found} devices run it",
            holds=rollout.phase == "finished"
            and len(judged) == 3
            and judged == sorted(judged)
            and judged[0] == 2
            and found == len(DEVICES),
            numbers={f"judged devices in stage {i + 1}": n for i, n in enumerate(judged)},
        )
    )


def slow_release(scene: Scene) -> None:
    """Roll 1.2.0 out, signed and converted correctly but far too slow: the canaries tell."""
    scene.chapter("5  1.2.0: signed, converted, accurate, and much slower on the device")
    publish(scene, "1.2.0")
    rollout = follow(scene, start_rollout(scene, "1.2.0", STAGED))
    back = wait_until_running(scene, "1.1.0", len(DEVICES))
    deployments = scene.client.deployments(rollout.id)
    canaries = {d.device for d in deployments if d.kind == "update"}
    ran = set(ever_ran(scene, "1.2.0"))
    seconds = seconds_to_recover(deployments)
    scene.note(
        Row(
            chapter="1.2.0 too slow",
            expected="the canary stage fails; only 2 canaries ran it; 6 devices on 1.1.0 again",
            observed=f"{rollout.phase} in stage {rollout.stage + 1}; {len(ran)} devices ran it, "
            f"{len(ran - canaries)} of them no canary; {back} on 1.1.0 again, the last "
            f"{seconds:.1f} s after the first inference",
            holds=rollout.phase == "rolled_back"
            and rollout.stage == 0
            and len(ran) == 2
            and ran <= canaries
            and back == len(DEVICES)
            and not running(scene, "1.2.0"),
            numbers={"seconds from first inference to last device back": seconds},
        )
    )


def _windows_judged(rollout: RolloutView) -> list[int]:
    """Return for each stage that passed how many devices its evidence came from."""
    judged: dict[int, int] = {}
    for happening in rollout.happenings:
        passed = [c for c in happening.checks if c.name == "evidence" and c.verdict == "pass"]
        if happening.kind == "stage_judged" and passed:
            judged[happening.stage] = int(sum(c.numbers.get("judged", 0) for c in passed))
    return [judged[stage] for stage in sorted(judged)]
