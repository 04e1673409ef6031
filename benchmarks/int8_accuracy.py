"""How much accuracy does int8 lose on networks trained normally, and how much with the ladder?

MNIST: the CNN of the ONNX model zoo, five draws of 300 calibration images, 5,000 held out. Spoken
digits: a CNN on log-mel spectra, five folds, trained by `int8_training`; each recording is held out
once. MobileNetV3-like (hard-swish, squeeze and excitation): trained by `int8_training` on 4,000
images of MNIST, five seeds, 3,500 held out. Calibration never sees what is held out.

The baseline is the float network. Points are percentage points of top-1 lost: positive is worse.
The interval of a row is over draws, folds or seeds; `low` and `high` are Tango's 95 % interval of
the loss over all answers (MNIST CNN, whose draws share the held-out images: of the worst draw).
What the proof refuses is a row of its own, with the reason of its first and how many of how many
were refused; points are of what was delivered only.
EDGEKIT_BENCH_CASES chooses cases; a table without a case was measured without it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.conversion import DATA
from converters.budget import tango_interval
from converters.pipeline import convert
from converters.plan import ConversionPlan
from converters.quiet import quiet_process
from converters.report import VariantReport
from edgekit.bench import Result, summarize
from edgekit.bundle import open_bundle
from edgekit.errors import BudgetError, EdgeKitError, InconclusiveError, ParityError, UsageError
from edgekit.manifest import TensorSpec
from edgekit.runtime import Tensor, open_session

QUESTION = "points of top-1 lost by int8"
VARIANTS = ("onnx-int8", "openvino-int8", "tflite-int8")
BUDGET = 1.2
CALIBRATED = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One network with what it is calibrated and proven on."""

    title: str
    source: str
    weights: Path | None
    shape: tuple[int, ...]
    folder: Path
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Answers of float that int8 lost and won, of so many, and the rung that made it.

    Where the proof delivered nothing, `refused` says why and the rest is empty.
    """

    lost: int
    won: int
    samples: int
    rung: str
    refused: str = ""

    @property
    def points(self) -> float:
        """Percentage points lost."""
        return 100 * (self.lost - self.won) / self.samples


def run(short: bool) -> list[Result]:
    """Measure; EDGEKIT_BENCH_CASES chooses among mnist, speech, mobilenet."""
    del short
    if not (DATA / "mnist").is_dir():
        raise UsageError("needs the test data", todo="set EDGEKIT_TEST_DATA")
    makers = {"mnist": _mnist, "speech": _speech, "mobilenet": _mobilenet}
    wanted = os.environ.get("EDGEKIT_BENCH_CASES", ",".join(makers)).split(",")
    found: dict[tuple[str, str, str], list[Loss]] = {}
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            for case in makers[name](Path(folder)):
                for variant in case.targets:
                    budgets = (None, BUDGET) if name == "mobilenet" else (None,)
                    for budget in budgets:
                        loss = _loss(case, variant, budget)
                        way = "defaults" if budget is None else f"ladder to {BUDGET:g}"
                        found.setdefault((case.title, variant, way), []).append(loss)
    return [row for key, losses in found.items() for row in rows(*key, losses)]


def rows(title: str, variant: str, way: str, losses: list[Loss]) -> Iterator[Result]:
    """Yield a row of the points lost by what was delivered, and one of what was refused."""
    delivered = [one for one in losses if not one.refused]
    refused = [one.refused for one in losses if one.refused]
    if delivered:
        yield _result(title, variant, way, delivered)
    if refused:
        yield Result(
            question=QUESTION,
            candidate=f"{variant}, {way}: refused ({refused[0]})",
            condition=title,
            summary=summarize([float(len(refused))], unit="refused"),
            numbers={"of": float(len(losses))},
        )


def _result(title: str, variant: str, way: str, losses: list[Loss]) -> Result:
    worst = max(losses, key=lambda one: one.points)
    pooled = [worst] if title.startswith("MNIST CNN") else losses
    lost, won, samples = (
        sum(getattr(one, name) for one in pooled) for name in ("lost", "won", "samples")
    )
    low, high = tango_interval(lost, won, samples)
    points = [one.points for one in losses]
    rungs = ", ".join(sorted({one.rung for one in losses}))
    return Result(
        question=QUESTION,
        candidate=f"{variant}, {way} ({rungs})",
        condition=title,
        summary=summarize(points, unit="points"),
        numbers={
            "mean": float(np.mean(points)),
            "worst": worst.points,
            "low": 100 * low,
            "high": 100 * high,
            "answers": float(samples),
        },
        samples=tuple(points),
    )


def _loss(case: Case, variant: str, budget: float | None) -> Loss:
    plan = ConversionPlan(
        source=case.source,
        weights=case.weights,
        model="bench",
        version="1",
        variants=(variant,),
        inputs=(TensorSpec(name="input", shape=case.shape, dtype="float32"),)
        if case.weights
        else (),
        calibration=case.folder / "calibration.npz",
        evaluation=case.folder / "held-out.npz",
        max_accuracy_drop=budget,
        allow_slower=True,
        out=Path(tempfile.mkdtemp(dir=case.folder)) / "out",
    )
    try:
        with quiet_process():
            (told,) = convert(plan).variants
    except (ParityError, BudgetError, InconclusiveError) as error:
        return Loss(lost=0, won=0, samples=0, rung="", refused=error.what)
    except EdgeKitError as error:
        raise type(error)(f"{case.title}, {variant}: {error}") from error
    return _counted(plan, told)


def _counted(plan: ConversionPlan, told: VariantReport) -> Loss:
    import torch

    from converters.capture import capture
    from converters.source import load_source

    with np.load(plan.evaluation) as archive:
        images, labels = archive["images"], archive["labels"]
    bundle = open_bundle(plan.out / told.bundle)
    bundle.extract(plan.out / "files")
    session = open_session(plan.out / "files" / bundle.manifest.file, bundle.manifest.format)
    source = load_source(plan.source, plan.weights)
    with torch.inference_mode():
        reference = capture(source, plan.inputs, [images[:1]], dynamic={}).reference
        before = _right(lambda x: reference([x])[0], images, labels)
    after = _right(lambda x: session.run([x])[0], images, labels)
    return Loss(
        lost=int(np.sum(before & ~after)),
        won=int(np.sum(~before & after)),
        samples=len(labels),
        rung=told.attempts[-1].rung,
    )


def _right(answer: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    found = [int(np.argmax(answer(images[i : i + 1]))) for i in range(len(images))]
    right: Tensor = np.array(found) == labels
    return right


def _write(folder: Path, images: Tensor, labels: Tensor, rest: Tensor) -> None:
    np.savez(folder / "held-out.npz", images=images, labels=labels)
    np.savez(folder / "calibration.npz", images=rest)


def _mnist(folder: Path) -> Iterator[Case]:
    from benchmarks.int8_training import mnist

    images, labels = mnist()
    images = images * 255
    for seed in range(5):
        chosen = np.random.default_rng(seed).choice(3000, CALIBRATED, replace=False)
        _write(folder, images[3000:], labels[3000:], images[chosen])
        yield Case(
            title="MNIST CNN, ONNX file",
            source=str(DATA / "ort_examples" / "mnist.onnx"),
            weights=None,
            shape=(1, 1, 28, 28),
            folder=folder,
            targets=VARIANTS[:2],
        )


def _speech(folder: Path) -> Iterator[Case]:
    import torch

    from benchmarks.int8_training import speech_cnn, spoken_digits, train

    spectra, labels = spoken_digits()
    fold_of = np.random.default_rng(0).permutation(len(labels)) % 5
    for fold in range(5):
        rest, held = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        state = train(speech_cnn, spectra[rest], labels[rest], seed=fold, epochs=12)
        torch.save(state, folder / "weights.pt")
        _write(folder, spectra[held], labels[held], spectra[rest[:CALIBRATED]])
        yield Case(
            title="spoken digits CNN, five folds",
            source="benchmarks.int8_training:speech_cnn",
            weights=folder / "weights.pt",
            shape=(1, 1, 49, 40),
            folder=folder,
            targets=VARIANTS,
        )


def _mobilenet(folder: Path) -> Iterator[Case]:
    import torch

    from benchmarks.int8_training import mnist, train
    from benchmarks.networks import mobilenet_v3_like

    images, labels = mnist()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(labels))
        held, trained = order[:3500], order[4000:]
        state = train(mobilenet_v3_like, images[trained], labels[trained], seed=seed, epochs=6)
        torch.save(state, folder / "weights.pt")
        _write(folder, images[held], labels[held], images[trained[:CALIBRATED]])
        yield Case(
            title="MobileNetV3-like on MNIST, five seeds",
            source="benchmarks.networks:mobilenet_v3_like",
            weights=folder / "weights.pt",
            shape=(1, 1, 28, 28),
            folder=folder,
            targets=VARIANTS,
        )
