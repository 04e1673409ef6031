"""How much accuracy does int8 lose on networks trained normally, and how much with the ladder?

MNIST: the CNN of the ONNX model zoo, five draws of 300 calibration images, 5,000 held out; and a
CNN trained by `int8_training` on 3,000 images, five seeds. Spoken digits: the same CNN on log-mel
spectra, five folds; each recording is held out once. MobileNetV3-like (hard-swish, squeeze and
excitation): trained by `int8_training` on 4,000 images of MNIST, five seeds, 3,500 held out; and on
half of the spoken digits, the other half held out, both ways. All but the MNIST CNNs also with a
budget of 1.2 points, for the ladder begins where a default is refused. Calibration never sees what
is held out.

The baseline is the float network. Points are percentage points of top-1 lost: positive is worse.
The interval of a row is over draws, folds or seeds; `low` and `high` are Tango's 95 % interval of
the loss over all answers (MNIST CNNs, whose draws share the held-out images: of the worst draw).
What the proof refuses is a row of its own, with the reason of its first and how many of how many
were refused; points are of what was delivered only.
EDGEKIT_BENCH_CASES chooses cases (mnist, mnist-trained, speech, mobilenet, mobilenet-speech), and
rows of the others stay as they were.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.conversion import DATA
from benchmarks.int8_cases import SERIES, Case, Series
from converters.budget import tango_interval
from converters.pipeline import convert
from converters.plan import ConversionPlan
from converters.quiet import quiet_process
from converters.report import VariantReport
from edgekit.bench import Result, summarize
from edgekit.bundle import open_bundle
from edgekit.errors import BudgetError, EdgeKitError, InconclusiveError, ParityError, UsageError
from edgekit.manifest import ModelFormat, TensorSpec
from edgekit.runtime import Session, Tensor, open_session

QUESTION = "points of top-1 lost by int8"
ONLY_BY_NAME = "trains and converts networks for a quarter of an hour; nothing of it is a time"
BUDGET = 1.2


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
    """Measure the cases that EDGEKIT_BENCH_CASES names, else all."""
    del short
    if not (DATA / "mnist").is_dir():
        raise UsageError("needs the test data", todo="set EDGEKIT_TEST_DATA")
    found: dict[tuple[str, str, str], list[Loss]] = {}
    for asked in _asked():
        budgets = (None, BUDGET) if asked.judged else (None,)
        with tempfile.TemporaryDirectory() as folder:
            for case in asked.write(Path(folder)):
                before = _source_right(case)
                for variant, budget in itertools.product(asked.variants, budgets):
                    loss = _loss(case, variant, budget, before)
                    way = "defaults" if budget is None else f"ladder to {BUDGET:g}"
                    found.setdefault((asked.title, variant, way), []).append(loss)
    return [row for key, losses in found.items() for row in rows(*key, losses)]


def _asked() -> list[Series]:
    wanted = os.environ.get("EDGEKIT_BENCH_CASES")
    return [SERIES[name] for name in wanted.split(",")] if wanted else list(SERIES.values())


def left_out(condition: str) -> bool:
    """Say whether a row is of a case that was not asked for."""
    asked = _asked()
    return condition in {one.title for one in SERIES.values() if one not in asked}


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


def _loss(case: Case, variant: str, budget: float | None, before: Tensor) -> Loss:
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
        cache=case.folder / "cache",
    )
    try:
        with quiet_process():
            (told,) = convert(plan).variants
    except (ParityError, BudgetError, InconclusiveError) as error:
        return Loss(lost=0, won=0, samples=0, rung="", refused=error.what)
    except EdgeKitError as error:
        raise type(error)(f"{case.source}, {variant}: {error}") from error
    return _counted(plan, told, before)


def _source_right(case: Case) -> Tensor:
    """Return which held-out samples the float network answers right, [N] bool."""
    import torch

    from converters.source import ModuleSource, load_source
    from converters.threads import one_thread

    source = load_source(case.source, case.weights)
    with np.load(case.folder / "held-out.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    if not isinstance(source, ModuleSource):
        return _right(open_session(source.path, ModelFormat.ONNX), images, labels)
    with torch.inference_mode(), one_thread():
        scores = [source.module(batch) for batch in torch.from_numpy(images).split(64)]
    right: Tensor = torch.cat(scores).argmax(1).numpy() == labels
    return right


def _counted(plan: ConversionPlan, told: VariantReport, before: Tensor) -> Loss:
    with np.load(plan.evaluation) as archive:
        images, labels = archive["images"], archive["labels"]
    bundle = open_bundle(plan.out / told.bundle)
    bundle.extract(plan.out / "files")
    session = open_session(plan.out / "files" / bundle.manifest.file, bundle.manifest.format)
    after = _right(session, images, labels)
    return Loss(
        lost=int(np.sum(before & ~after)),
        won=int(np.sum(~before & after)),
        samples=len(labels),
        rung=told.attempts[-1].rung,
    )


def _right(session: Session, images: Tensor, labels: Tensor) -> Tensor:
    found = [int(np.argmax(session.run([images[i : i + 1]])[0])) for i in range(len(images))]
    right: Tensor = np.array(found) == labels
    return right
