"""Chapters 1 to 3: train, convert, and start a fleet."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.table import Table

from edgekit.bundle import open_bundle
from edgekit.demo.outcome import Row
from edgekit.demo.processes import wait_for
from edgekit.demo.scene import MODEL, Scene

FACTORIES = {"1.0.0": "digits_cnn", "1.1.0": "digits_cnn", "1.2.0": "digits_averaged"}
TARGETS = "onnx-fp32,onnx-int8,tflite-int8"
LABELS = ",".join(str(digit) for digit in range(10))
PREPROCESSING = {"height": 8, "width": 8, "channels": 1, "scale": 1 / 16}
DEVICES = {
    "gate-east": "onnxruntime",
    "gate-north": "onnxruntime",
    "gate-south": "onnxruntime",
    "dock-1": "litert",
    "dock-2": "litert",
    "dock-3": "litert",
}
MAX_POINTS_LOST = 0.02


def train(scene: Scene) -> None:
    """Train three networks on real handwriting and keep a held-out part."""
    scene.chapter("1  Train on scikit-learn's digits (1,797 real handwritten images)")
    out = scene.commands.run("python", "-m", "edgekit.demo.training", "--out", str(scene.training))
    for line in out.splitlines():
        release, share, seconds = line.split()
        what = "augmented 256 times, " if release == "1.2.0" else ""
        scene.say(f"{release}: {what}{float(share):.1%} on held-out images, {seconds} s")


def convert(scene: Scene) -> None:
    """Convert each network with the command that a user types."""
    scene.chapter("2  Convert: ONNX fp32, ONNX int8 (static, QDQ), TFLite int8")
    (scene.folder / "releases").mkdir()
    (scene.folder / "preprocessing.json").write_text(json.dumps(PREPROCESSING))
    with ThreadPoolExecutor(max_workers=2) as pool:
        reports = dict(
            zip(FACTORIES, pool.map(lambda v: _convert(scene, v), FACTORIES), strict=True)
        )
    scene.console.print(_conversion_table(reports))
    for version in FACTORIES:
        remember_digests(scene, version)
    lost = {
        (version, v["variant"]): report["source"]["accuracy"] - v["accuracy"]
        for version, report in reports.items()
        for v in report["variants"]
    }
    worst = max(lost, key=lambda key: lost[key])
    scene.note(
        Row(
            chapter="convert",
            expected=f"{len(lost)} variants, none loses more than {MAX_POINTS_LOST:.0%} accuracy",
            observed=f"{len(lost)} variants, the worst {' '.join(worst)} lost {lost[worst]:.2%}",
            holds=len(lost) == 9 and lost[worst] <= MAX_POINTS_LOST,
            numbers={" ".join(key): value for key, value in lost.items()},
        )
    )


def start_fleet(scene: Scene) -> None:
    """Create keys, start the server, enrol six agents and start them."""
    scene.chapter("3  Keys, a server, six devices")
    fleet, commands = scene.fleet, scene.commands
    commands.run("edgekit", "server", "init", str(fleet.data))
    fleet.server.start()
    scene.wait_until_healthy()
    scene.say(f"server at {fleet.url}: SQLite and a folder")
    commands.run("edgekit", "keys", "create", str(scene.keys))
    commands.run("edgekit", "keys", "add-model", str(scene.keys), MODEL)
    commands.run("edgekit", "keys", "install", str(scene.keys))
    scene.say("keys made, encrypted by a passphrase; the server got the signed metadata only")
    enrolment = scene.folder / "enrolment.json"
    words = ["edgekit", "device", "enrolment", "--uses", str(len(DEVICES)), "--life", "1h"]
    commands.run(*words, "--out", str(enrolment))
    for name, runtime in DEVICES.items():
        _enrol(scene, name, runtime, enrolment)
    for device in fleet.devices.values():
        device.process.start()
    seen = wait_for("six devices polled", lambda: _all_polled(scene), timeout_s=30)
    scene.note(
        Row(
            chapter="fleet",
            expected="six devices enrolled and polling",
            observed=f"{seen} devices enrolled and polling",
            holds=seen == len(DEVICES),
        )
    )


def remember_digests(scene: Scene, version: str, *, model: str = MODEL) -> None:
    """Keep which digests belong to a release, so that telemetry can be attributed to it."""
    bundles = [
        open_bundle(path) for path in sorted(scene.release(version, model=model).glob("*.bundle"))
    ]
    scene.digests[version] = {b.manifest.variant: b.sha256 for b in bundles}


def publish(scene: Scene, version: str, *, model: str = MODEL) -> None:
    """Sign and publish the bundles of a release."""
    folder = str(scene.release(version, model=model))
    scene.commands.run("edgekit", "release", "publish", folder, "--keys", str(scene.keys))


def _convert(scene: Scene, version: str) -> dict[str, Any]:
    source = f"edgekit.demo.model:{FACTORIES[version]}"
    words = ["edgekit", "convert", source, "--weights", str(scene.training / f"{version}.pt")]
    words += ["--model", MODEL, "--version", version, "--labels", LABELS, "--target", TARGETS]
    words += ["--preprocessing", str(scene.folder / "preprocessing.json")]
    words += ["--calibration", str(scene.training / "calibration.npz")]
    words += ["--evaluation", str(scene.training / "heldout.npz")]
    words += ["--out", str(scene.release(version))]
    words += ["--allow-slower"]  # a network so small gains nothing from int8
    report: dict[str, Any] = scene.commands.json(*words)
    return report


def _conversion_table(reports: dict[str, dict[str, Any]]) -> Table:
    table = Table(title_justify="left")
    for name in ("release", "variant", "kB", "held-out", "torch", "worst difference", "median ms"):
        table.add_column(name, justify="left" if name in {"release", "variant"} else "right")
    for version, report in reports.items():
        for v in report["variants"]:
            table.add_row(
                version,
                v["variant"],
                f"{v['model_bytes'] / 1000:.0f}",
                f"{v['accuracy']:.2%}",
                f"{report['source']['accuracy']:.2%}",
                f"{v['max_abs_diff']:.2g}",
                f"{v['median_ms']:.3f}",
            )
    return table


def _enrol(scene: Scene, name: str, runtime: str, enrolment: Path) -> None:
    device = scene.fleet.add_device(name, runtime, scene.training / "heldout")
    words = ["edgekit-agent", "enrol", "--file", str(enrolment), "--id", name]
    scene.commands.run(*words, "--state", str(device.state))
    scene.say(f"{name}: enrolled, {runtime}")


def _all_polled(scene: Scene) -> int:
    seen = sum(device.last_seen_at is not None for device in scene.client.devices())
    return seen if seen == len(DEVICES) else 0
