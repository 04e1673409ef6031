"""Chapters 6 and 7: what devices refuse, whatever the server says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgekit.bundle import Bundle, bundle_name, open_bundle, write_bundle
from edgekit.demo import stolen_server
from edgekit.demo.chapters.preparation import DEVICES, publish, remember_digests
from edgekit.demo.chapters.rollouts import STAGED
from edgekit.demo.observing import ever_ran, follow, running, start_rollout, wait_for_end
from edgekit.demo.outcome import Row
from edgekit.demo.probe import Probe
from edgekit.demo.scene import MODEL, Scene
from edgekit.golden import GoldenSamples, golden_files, read_golden

GOOD = "1.1.0"
BOTH_MAY_REFUSE = STAGED.replace("max_failed_devices: 0", "max_failed_devices: 1")
OTHER_MODEL = "letters"


def golden_mismatch(scene: Scene) -> None:
    """Offer a release whose golden samples do not reproduce on the device."""
    scene.chapter("6  1.3.0: golden samples that do not reproduce here (simulated)")
    derive(scene, "1.3.0", golden=_shifted)
    publish(scene, "1.3.0")
    with Probe(scene) as probe:
        reasons = _refused(scene, "1.3.0")
    scene.note(
        Row(
            chapter="1.3.0 golden samples",
            expected="refused before activation; the old model never stopped answering",
            observed=f"{_counted(reasons)}; {len(ever_ran(scene, '1.3.0'))} devices ran it; "
            f"{probe.answers} requests meanwhile, {probe.failures} without an answer",
            holds=reasons == ["golden_mismatch"] * 2
            and not ever_ran(scene, "1.3.0")
            and probe.answers > 0
            and probe.failures == 0
            and len(running(scene, GOOD)) == len(DEVICES),
            numbers={"requests": probe.answers, "failures": probe.failures},
        )
    )


def tampered_bundle(scene: Scene) -> None:
    """Change a published bundle on the server's disk."""
    scene.chapter("7a  1.4.0: bundles altered on the server's disk")
    derive(scene, "1.4.0")
    publish(scene, "1.4.0")
    scene.fleet.server.stop()
    for digest in scene.digests["1.4.0"].values():
        stolen_server.alter_bundle(scene.fleet.data, digest)
    scene.fleet.server.start()
    scene.wait_until_healthy()
    _expect_refusal(scene, "1.4.0", "altered bundle", "digest_mismatch")


def untrusted_key(scene: Scene) -> None:
    """Let a stolen server list a release signed with a key that nobody trusts."""
    scene.chapter("7b  1.5.0: signed with a key that nobody trusts (stolen server, simulated)")
    derive(scene, "1.5.0")
    bundles = stolen_server.bundles_in(scene.release("1.5.0"))
    with stolen_server.unsigned_release(scene.fleet.data, MODEL, bundles):
        _expect_refusal(scene, "1.5.0", "untrusted key", "untrusted")


def other_model(scene: Scene) -> None:
    """Let a stolen server offer a listed bundle of another model as digits."""
    scene.chapter("7c  1.6.0: a listed bundle of another model (stolen server, simulated)")
    scene.commands.run("edgekit", "keys", "add-model", str(scene.keys), OTHER_MODEL)
    scene.commands.run("edgekit", "keys", "install", str(scene.keys))
    derive(scene, "1.0.0", model=OTHER_MODEL)
    publish(scene, "1.0.0", model=OTHER_MODEL)
    derive(scene, "1.6.0")
    publish(scene, "1.6.0")
    stolen_server.swap_targets(scene.fleet.data, (MODEL, "1.6.0"), (OTHER_MODEL, "1.0.0"))
    letters = stolen_server.bundles_in(scene.release("1.0.0", model=OTHER_MODEL))
    scene.digests["1.6.0"] = {bundle.manifest.variant: bundle.sha256 for bundle in letters}
    _expect_refusal(scene, "1.6.0", "another model", "wrong_model")


def derive(
    scene: Scene,
    version: str,
    *,
    model: str = MODEL,
    golden: Callable[[GoldenSamples], GoldenSamples] | None = None,
) -> None:
    """Make a release from the bundles of 1.1.0 with the library, without converting again."""
    folder = scene.release(version, model=model)
    folder.mkdir()
    for path in sorted(scene.release(GOOD).glob("*-int8.bundle")):
        _rewrite(open_bundle(path), folder, model=model, version=version, golden=golden)
    if model == MODEL:
        remember_digests(scene, version)


def _rewrite(
    bundle: Bundle,
    folder: Path,
    *,
    model: str,
    version: str,
    golden: Callable[[GoldenSamples], GoldenSamples] | None,
) -> None:
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    if golden is not None:
        files |= golden_files(golden(read_golden(bundle)))
    manifest = replace(bundle.manifest, model=model, version=version, files={})
    write_bundle(folder / bundle_name(model, version, manifest.variant), manifest, files)


def _shifted(golden: GoldenSamples) -> GoldenSamples:
    """Return answers as another CPU's arithmetic might give them: simulated."""
    return GoldenSamples(inputs=golden.inputs, outputs=tuple(o + 3 for o in golden.outputs))


def _refused(scene: Scene, version: str) -> list[str]:
    """Roll a release out, wait until it is over, and return the reasons of the refusals."""
    rollout = follow(scene, start_rollout(scene, version, BOTH_MAY_REFUSE))
    wait_for_end(scene, rollout.id, lambda d: d.ended_at is not None)
    refusals = [d for d in scene.client.deployments(rollout.id) if d.kind == "update"]
    for refusal in refusals:
        scene.say(f"{refusal.device}: {refusal.state} ({refusal.reason}) {refusal.detail}")
    return [d.reason for d in refusals if d.state == "rejected"]


def _expect_refusal(scene: Scene, version: str, what: str, reason: str) -> None:
    found = _refused(scene, version)
    ran = ever_ran(scene, version)
    on_good = len(running(scene, GOOD))
    scene.note(
        Row(
            chapter=f"{version} {what}",
            expected="refused by both canaries, nobody ran it, 6 devices still on 1.1.0",
            observed=f"{_counted(found)}; {len(ran)} devices ran it, {on_good} on 1.1.0",
            holds=found == [reason] * 2 and not ran and on_good == len(DEVICES),
        )
    )


def _counted(reasons: list[str]) -> str:
    return ", ".join(f"{reasons.count(r)} x {r}" for r in sorted(set(reasons))) or "no refusal"
