"""How long does a conversion to int8 take, and how much accuracy does it keep?

Ours (capture, lower, calibrate, quantize, prove on held-out data, package) beside what a person
writes without it: torch's exporter and ONNX Runtime's `quantize_static` with its defaults, which
proves nothing. Both get the same model and samples of each seed, and take turns in going first.
Points lost are top-1 of the source less top-1 of the int8 file, on the same held-out samples.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.evaluate import answers_of, sqnr_db
from converters.metrics import accuracy
from converters.pipeline import convert
from converters.plan import ConversionPlan, input_of
from converters.quiet import quiet_process, quiet_python
from converters.reading import read_samples
from converters.samples import Samples
from edgekit.bench import Result, ratio, summarize
from edgekit.bundle import open_bundle
from edgekit.manifest import ModelFormat, Preprocessing
from edgekit.runtime import Tensor, open_session

VARIANT = "onnx-int8"
OURS = "edgekit convert, with all proofs"
PLAIN = "exporter + quantize_static, defaults, no proof"
DATA = Path(os.environ.get("EDGEKIT_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model with its samples; `source` and `weights` as in a plan."""

    name: str
    source: str
    weights: Path | None
    preprocessing: Preprocessing
    calibration: Path
    evaluation: Path

    def plan(self, out: Path) -> ConversionPlan:
        """Return what the command would be given."""
        return ConversionPlan(
            source=self.source,
            weights=self.weights,
            model="bench",
            version="1",
            variants=(VARIANT,),
            preprocessing=self.preprocessing,
            calibration=self.calibration,
            evaluation=self.evaluation,
            allow_slower=True,
            out=out,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one way of converting took and kept."""

    seconds: float
    points_lost: float
    sqnr_db: float


def run(short: bool) -> list[Result]:
    """Measure over seeds: 3 in the short form, 12 in the long one."""
    seeds = range(3 if short else 12)
    found: dict[tuple[str, str], list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as folder, quiet_process():
        for seed in (0, *seeds):  # the first run loads the libraries and is thrown away
            for case in cases(Path(folder), seed):
                for candidate, outcome in _both(case, Path(folder), seed):
                    found.setdefault((case.name, candidate), []).append(outcome)
    return [
        result for name in dict.fromkeys(n for n, _ in found) for result in _results(name, found)
    ]


def _results(name: str, found: dict[tuple[str, str], list[Outcome]]) -> Iterator[Result]:
    rng = np.random.default_rng(0)
    seconds = {c: [o.seconds for o in found[name, c][1:]] for c in (PLAIN, OURS)}
    for candidate in (PLAIN, OURS):
        outcomes = found[name, candidate][1:]
        lost = [o.points_lost for o in outcomes]
        ours = candidate == OURS
        yield Result(
            question="conversion to int8",
            candidate=candidate,
            condition=f"{name}, time",
            summary=summarize(seconds[candidate], unit="s"),
            ratio=ratio(seconds[OURS], seconds[PLAIN], rng=rng) if ours else None,
            samples=tuple(seconds[candidate]),
        )
        yield Result(
            question="conversion to int8",
            candidate=candidate,
            condition=f"{name}, accuracy lost",
            summary=summarize(lost, unit="points"),
            numbers={"median_sqnr_db": float(np.median([o.sqnr_db for o in outcomes]))},
            samples=tuple(lost),
        )


def _both(case: Case, folder: Path, seed: int) -> Iterator[tuple[str, Outcome]]:
    ways = {PLAIN: _plain, OURS: _ours}
    evaluation = read_samples(case.evaluation)
    reference = reference_answers(case, evaluation)
    for candidate in (PLAIN, OURS) if seed % 2 == 0 else (OURS, PLAIN):
        with tempfile.TemporaryDirectory(dir=folder) as own:
            began = time.perf_counter()
            model = ways[candidate](case, Path(own))
            seconds = time.perf_counter() - began
            answers = answers_of_file(case, model, evaluation)
        labels = evaluation.labelled()
        lost = 100 * (accuracy(reference, labels) - accuracy(answers, labels))
        yield (
            candidate,
            Outcome(seconds=seconds, points_lost=lost, sqnr_db=sqnr_db(reference, answers)),
        )


def _ours(case: Case, folder: Path) -> Path:
    report = convert(case.plan(folder / "out"))
    bundle = open_bundle(folder / "out" / report.variants[0].bundle)
    bundle.extract(folder)
    return folder / bundle.manifest.file


def _plain(case: Case, folder: Path) -> Path:
    from onnxruntime.quantization import quantize_static

    with quiet_python():
        export(case, folder / "float.onnx")
        quantize_static(folder / "float.onnx", folder / "int8.onnx", _Reader(case))
    return folder / "int8.onnx"


def export(case: Case, out: Path) -> None:
    """Write the float model as ONNX."""
    import torch

    if case.weights is None:
        _upgrade(Path(case.source), out)
        return
    shape = [int(size) for size in input_of(case.preprocessing).shape]
    exported = torch.onnx.export(
        _module(case), (torch.zeros(shape),), input_names=["input"], dynamo=True, verbose=False
    )
    exported.save(out)


def _upgrade(source: Path, out: Path) -> None:
    import onnx
    from onnx import version_converter

    onnx.save(version_converter.convert_version(onnx.load(source), 18), out)


def _module(case: Case) -> Any:  # noqa: ANN401 (torch)
    import torch

    from edgekit.demo.model import digits_cnn

    module = digits_cnn()
    module.load_state_dict(torch.load(case.weights, weights_only=True))
    return module.eval()


class _Reader:
    """Samples as `quantize_static` asks for them."""

    def __init__(self, case: Case) -> None:
        samples = read_samples(case.calibration)
        self._name = "input" if case.weights else "Input3"
        self._tensors = (samples.tensors(i, case.preprocessing)[0] for i in range(len(samples)))

    def get_next(self) -> dict[str, Tensor] | None:
        tensor = next(self._tensors, None)
        return None if tensor is None else {self._name: tensor}


def reference_answers(case: Case, evaluation: Samples) -> Tensor:
    """Return what the source answers, [samples, classes]."""
    import torch

    if case.weights is None:
        return answers_of_file(case, Path(case.source), evaluation)
    module = _module(case)
    with torch.inference_mode():
        rows = answers_of(
            lambda x: [module(torch.from_numpy(x[0])).numpy()],
            evaluation,
            case.preprocessing,
            _ignore,
        )
    return rows[0]


def answers_of_file(case: Case, model: Path, evaluation: Samples) -> Tensor:
    """Return what an ONNX file answers, [samples, classes]."""
    session = open_session(model, ModelFormat.ONNX)
    return answers_of(session.run, evaluation, case.preprocessing, _ignore)[0]


def cases(folder: Path, seed: int) -> Iterator[Case]:
    """Yield the models with the samples of a seed; made while it is asked for."""
    yield _digits(folder, seed)
    if (DATA / "mnist" / "mnist_8k.npz").is_file():
        yield _mnist(folder, seed)


def _digits(folder: Path, seed: int) -> Case:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.images))
    images, labels = digits.images[order].astype(np.uint8), digits.target[order]
    np.savez(folder / "held-out.npz", images=images[:500], labels=labels[:500])
    np.savez(folder / "calibration.npz", images=images[500:800])
    _train(images[500:], labels[500:], seed, folder / "weights.pt")
    return Case(
        name="digits CNN",
        source="edgekit.demo.model:digits_cnn",
        weights=folder / "weights.pt",
        preprocessing=Preprocessing(height=8, width=8, scale=1 / 16),
        calibration=folder / "calibration.npz",
        evaluation=folder / "held-out.npz",
    )


def _train(images: Tensor, labels: Tensor, seed: int, out: Path) -> None:
    import torch

    from edgekit.demo.model import digits_cnn

    torch.manual_seed(seed)
    model = digits_cnn()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    inputs = torch.tensor(images[:, None] / 16, dtype=torch.float32)
    classes = torch.tensor(labels)
    for _ in range(12):
        for batch in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[batch]), classes[batch]).backward()
            optimizer.step()
    torch.save(model.state_dict(), out)


def _mnist(folder: Path, seed: int) -> Case:
    with np.load(DATA / "mnist" / "mnist_8k.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    order = np.random.default_rng(seed).permutation(len(images))
    held_out, calibration = order[:2000], order[2000:2300]
    np.savez(folder / "m-held-out.npz", images=images[held_out], labels=labels[held_out])
    np.savez(folder / "m-calibration.npz", images=images[calibration])
    return Case(
        name="MNIST CNN (ONNX file)",
        source=str(DATA / "ort_examples" / "mnist.onnx"),
        weights=None,
        preprocessing=Preprocessing(height=28, width=28),
        calibration=folder / "m-calibration.npz",
        evaluation=folder / "m-held-out.npz",
    )


def _ignore(_done: int, _total: int) -> None:
    pass
