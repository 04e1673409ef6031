"""One loaded model: raw sample or tensors in, answer out, recorded on the way.

One inference at a time: sessions are not thread-safe. Knows no socket.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from device_agent.parameters import Settings, postprocessing_with
from device_agent.worker.answers import interpret
from device_agent.worker.recorder import Recorder
from edgekit.bundle import Bundle, open_bundle
from edgekit.drift import Features, features_of, read_reference
from edgekit.errors import BundleError, EdgeKitError, RuntimeFailedError
from edgekit.golden import GoldenSamples, check_golden, read_golden
from edgekit.manifest import Manifest
from edgekit.postprocessing import Classification, classify
from edgekit.preprocessing import prepare
from edgekit.runtime import Session, Tensor, open_session


class NanAnswerError(RuntimeFailedError):
    """An answer held a NaN and is not handed out."""


class Answer(NamedTuple):
    """What the model said; a tuple, because one is made for every inference.

    Attributes:
        outputs: One tensor per output of the model.
        top: The class, if the model classifies; of a detector the surest object's.
        whole: JSON-like answer of other tasks than classification; else None.
        latency_s: From the raw sample, or the tensors, to the answer.
    """

    outputs: list[Tensor]
    top: Classification | None
    whole: Any = None
    latency_s: float = 0.0


class Onlooker(Protocol):
    """Told of every answer before it is handed out; must not wait."""

    def __call__(self, inputs: Sequence[Tensor], answer: Answer, *, raw: bool) -> None:
        """Take note of an answer; `raw` says that the one input is a raw sample."""
        ...


class Engine:
    """A session with its manifest and golden samples."""

    def __init__(
        self, session: Session, manifest: Manifest, golden: GoldenSamples, recorder: Recorder
    ) -> None:
        self.manifest = self._packed = manifest
        self.settings = Settings()
        self.session = session
        self._golden = golden
        self._recorder = recorder
        self._lock = threading.Lock()
        self.busy_since_s: float | None = None
        self.onlooker: Onlooker | None = None

    def apply(self, settings: Settings) -> None:
        """Let parameters of this device hold from the next answer on.

        Raises:
            UsageError: A threshold is no number in [0, 1]; nothing changes.
        """
        spec = postprocessing_with(self._packed.postprocessing, settings.values)
        with self._lock:
            self.settings = settings
            self.manifest = replace(self._packed, postprocessing=spec)

    def self_test(self) -> float:
        """Recompute every golden sample; return the largest absolute difference.

        Raises:
            ProofError: One differs by more than the manifest allows.
        """
        with self._lock, self._watched():
            return check_golden(self.session, self._golden, self.manifest)

    def exercise(self) -> None:
        """Recompute the golden samples while serving; recorded as exercised, not as traffic.

        Raises:
            ProofError: One differs by more than the manifest allows.
        """
        self.self_test()
        self._recorder.exercised(len(self._golden.inputs))

    def warm_up(self) -> None:
        """Run one golden sample, so that the first answer is as fast as the rest."""
        with self._lock, self._watched():
            self.session.run(self._golden.tensors(0, self.manifest.preprocessing))

    def remember(self, sample: str, answer: Answer) -> None:
        """Record which class answered a request that had an id, where that is wanted."""
        if answer.top is not None:
            self._recorder.remember(sample, answer.top.label)

    def refused(self) -> None:
        """Count a request that never came to the model: no tensor, of another shape, not finite."""
        self._recorder.failed("pre")

    def answer_raw(self, sample: Tensor) -> Answer:
        """Answer a raw sample: preprocessing, inference, postprocessing.

        Raises:
            DataError: The sample does not suit the preprocessing.
            RuntimeFailedError: The runtime failed.
            NanAnswerError: The answer holds a NaN.
        """
        with self._lock:
            self.busy_since_s = started = time.monotonic()
            try:
                answer = self._answer([self._prepared(sample)], started)
            finally:
                self.busy_since_s = None
        if self.onlooker is not None:
            self.onlooker([sample], answer, raw=True)
        return answer

    def answer(self, tensors: Sequence[Tensor]) -> Answer:
        """Answer tensors, one per input of the model. Raises as `answer_raw` does."""
        with self._lock:
            self.busy_since_s = started = time.monotonic()
            try:
                answer = self._answer(tensors, started)
            finally:
                self.busy_since_s = None
        if self.onlooker is not None:
            self.onlooker(tensors, answer, raw=False)
        return answer

    def _features(self, tensors: Sequence[Tensor], outputs: Sequence[Tensor]) -> Features:
        manifest = self.manifest
        return features_of(tensors, outputs, manifest.preprocessing, manifest.labels)

    def _prepared(self, sample: Tensor) -> Tensor:
        try:
            return prepare(sample, self.manifest.preprocessing)
        except EdgeKitError:
            self._recorder.failed("pre")
            raise

    def _answer(self, tensors: Sequence[Tensor], started: float) -> Answer:
        """Compute, interpret, record. No context managers: each would cost as much as the rest."""
        try:
            outputs = self.session.run(tensors)
        except EdgeKitError:
            self._recorder.failed("infer")
            raise
        try:
            top, whole = read_answer(outputs, self.manifest)
        except NanAnswerError:
            self._recorder.answered(time.monotonic() - started, nan=True)
            raise
        except EdgeKitError as error:
            self._recorder.failed("post")
            raise RuntimeFailedError(error.what, where=error.where, todo=error.todo) from error
        latency_s = time.monotonic() - started
        if top is None:
            self._recorder.answered(latency_s)
        else:
            self._recorder.answered(latency_s, label=top.label, confidence=top.confidence)
        if self._recorder.samples_now(started):
            self._recorder.saw(self._features(tensors, outputs))
        return Answer(outputs, top, whole, latency_s)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        self.busy_since_s = time.monotonic()
        try:
            yield
        finally:
            self.busy_since_s = None


def read_answer(outputs: Sequence[Tensor], manifest: Manifest) -> tuple[Classification | None, Any]:
    """Return the class and the whole answer, as `interpret`.

    Every score goes into the confidence of the best class, so that one that is a NaN makes it one:
    the scores of a classifier are not searched a second time.

    Raises:
        NanAnswerError: An output holds a NaN, or the best class has no probability.
        DataError: The outputs do not suit the task of the manifest.
    """
    if len(outputs) == 1 and manifest.classifies:
        top = classify(outputs[0], manifest.labels)
        nan = holds_nan(outputs) if top is None else top.confidence != top.confidence
        whole = None
    elif not (nan := holds_nan(outputs)):
        top, whole = interpret(outputs, manifest)
    if nan:
        raise NanAnswerError("the answer holds a NaN", where=manifest.model)
    return top, whole


def holds_nan(outputs: Sequence[Tensor]) -> bool:
    """Say whether a float output holds a NaN: NumPy's argmax takes the first one for the largest.

    Source: numpy.argmax, which follows the order that numpy.max uses.
    """
    for output in outputs:
        if output.dtype.kind == "f" and output.size:
            largest = output.item(output.argmax())
            if largest != largest:  # noqa: PLR0124 (only a NaN differs from itself)
                return True
    return False


def load_engine(
    bundle_path: Path, files: Path, *, digest: str, threads: int, recorder: Recorder
) -> Engine:
    """Load a bundle after checking that every byte of it is what its digest says.

    Raises:
        BundleError: The bundle is not the one named, or damaged.
        StorageError: A damaged copy of the model file cannot be written again.
        RuntimeFailedError: The runtime refuses the model.
        MissingExtraError: No runtime for it is installed.
    """
    bundle = open_bundle(bundle_path)
    if bundle.sha256 != digest:
        raise BundleError(f"is not {digest[:12]}...", where=str(bundle_path))
    model = _checked_model(bundle, files)
    recorder.reference = read_reference(bundle)
    session = open_session(model, bundle.manifest.format, threads=threads)
    return Engine(session, bundle.manifest, read_golden(bundle), recorder)


def _checked_model(bundle: Bundle, files: Path) -> Path:
    """Return the extracted model file, written again if it is not what the manifest says."""
    model = files / bundle.manifest.file
    expected = bundle.manifest.files[bundle.manifest.file].sha256
    if not model.is_file() or hashlib.sha256(model.read_bytes()).hexdigest() != expected:
        bundle.extract(files)
    return model
