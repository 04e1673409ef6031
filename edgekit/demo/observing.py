"""Reading the fleet through the typed client: who runs what, who ever ran what, and since when."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from edgekit.client.watching import ENDED, watch_rollout
from edgekit.client.wire.rollouts import DeploymentView, HappeningView, RolloutView
from edgekit.demo.processes import wait_for
from edgekit.demo.scene import MODEL, Scene


def start_rollout(scene: Scene, version: str, policy: str) -> str:
    """Write a rollout file, start it with the command, and return the rollout's id.

    Args:
        scene: The demo's.
        version: Release to roll out.
        policy: Stages and gate, as YAML.
    """
    file = scene.folder / f"rollout-{version}.yaml"
    file.write_text(f"model: {MODEL}\nversion: {version}\n{policy}")
    started = scene.commands.json("edgekit", "rollout", "start", str(file))
    return str(started["id"])


def follow(scene: Scene, rollout: str, *, timeout_s: float = 90.0) -> RolloutView:
    """Show what happens to a rollout until it ends, and return it."""
    deadline = time.monotonic() + timeout_s
    shown = 0
    view = scene.client.rollout(rollout)
    for view in watch_rollout(scene.client, rollout, wait=time.sleep, interval_s=0.3):
        for happening in view.happenings[shown:]:
            if text := _told(happening):
                scene.say(f"{view.version}: {text}")
        shown = len(view.happenings)
        if view.phase in ENDED or time.monotonic() > deadline:
            break
    return view


def _told(happening: HappeningView) -> str:
    """Return a happening as one short line; empty for what only a log needs."""
    if happening.kind == "rollout_started":
        return ""
    if happening.kind != "stage_judged":
        return happening.text
    failed = [check.sentence for check in happening.checks if check.verdict == "fail"]
    passed = [c.sentence for c in happening.checks if c.verdict == "pass" and c.name == "evidence"]
    if failed:
        return "the gate says FAIL: " + " ".join(failed)
    if all(check.verdict == "pass" for check in happening.checks):
        return "the gate says PASS: " + " ".join(passed)
    return ""


def running(scene: Scene, version: str) -> tuple[str, ...]:
    """Return the devices whose last poll reported a digest of this release."""
    digests = set(scene.digests[version].values())
    return tuple(d.id for d in scene.client.devices() if d.running.get(MODEL) in digests)


def wait_until_running(scene: Scene, version: str, count: int, *, timeout_s: float = 60.0) -> int:
    """Wait until so many devices report this release; return how many do in the end."""

    def enough() -> int:
        found = len(running(scene, version))
        return found if found >= count else 0

    return wait_for(f"{count} devices run {version}", enough, timeout_s=timeout_s)


def ever_ran(scene: Scene, version: str) -> tuple[str, ...]:
    """Return the devices that ever ran a release, by telemetry or by a reported activation."""
    digests = set(scene.digests.get(version, {}).values())
    found = set()
    for device in scene.client.devices():
        counted = any(
            t.digest in digests and t.inferences for t in scene.client.telemetry(device.id)
        )
        activated = any(
            h.digest in digests and h.activated_at for h in scene.client.history(device.id)
        )
        if counted or activated:
            found.add(device.id)
    return tuple(sorted(found))


def seconds_to_recover(deployments: list[DeploymentView]) -> float:
    """Return the seconds from the first activation of a bad release to the last device back.

    Only devices that activated it count; a device is back when its rollback committed.
    """
    started = [at(d.activated_at) for d in deployments if d.kind == "update" and d.activated_at]
    ended = [at(d.ended_at) for d in deployments if d.kind == "rollback" and d.ended_at]
    if not started or not ended:
        return float("nan")
    return (max(ended) - min(started)).total_seconds()


def wait_for_end(scene: Scene, rollout: str, finished: Callable[[DeploymentView], bool]) -> None:
    """Wait until every deployment of a rollout satisfies `finished`."""
    wait_for(
        "every deployment ended",
        lambda: all(finished(d) for d in scene.client.deployments(rollout)),
        timeout_s=60,
    )


def at(text: str | None) -> datetime:
    """Read a time of the API."""
    return datetime.fromisoformat(text or "")
