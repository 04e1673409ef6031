"""Telemetry of one worker: raw floats in lists, summed up when a window closes.

Recording costs an append; binning and the disk come once a window. Never raises into the
inference: a window that cannot be stored is counted and said in the next one.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from device_agent.spool import Spool
from device_agent.worker.messages import Mode, Stats
from edgekit.drift import DriftReference, Features, count
from edgekit.errors import StorageError
from edgekit.telemetry import (
    MAX_ANSWERS,
    MAX_NAME,
    LogHistogram,
    Window,
    confidence_bins,
    top_classes,
)

logger = logging.getLogger(__name__)
MIN_LATENCY_MS = 1e-6
FEATURES_EVERY_S = 0.1
"""Features of an image cost a tenth of a millisecond: ten a second are a thousandth of a core."""


@dataclass(slots=True)
class _Open:
    """The window that is being filled."""

    since_s: float
    latencies_ms: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    features: list[Features] = field(default_factory=list)
    nan_outputs: int = 0
    exercised: int = 0
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.latencies_ms or self.errors or self.exercised)


class Recorder:
    """Fills windows for one bundle. Safe for several threads."""

    def __init__(
        self,
        spool: Spool,
        *,
        model: str,
        digest: str,
        boot_id: str,
        window_s: float,
        deadline_ms: float,
        clock: Callable[[], float],
        rss_mb: Callable[[], float],
        answers_share: float = 0.0,
        machine: Callable[[], dict[str, float]] = dict,
    ) -> None:
        """Start closed: nothing is recorded to the spool before `open`."""
        self._spool = spool
        self._model, self._digest, self._boot_id = model, digest, boot_id
        self._window_s, self._deadline_ms = window_s, deadline_ms or float("inf")
        self._clock, self._rss_mb, self._machine = clock, rss_mb, machine
        self._answers_share = answers_share
        self.reference: DriftReference | None = None
        self._features_due_s = 0.0
        self._lock = threading.Lock()
        self._open: _Open | None = None
        self._mode = Mode.STEADY
        self._lost = 0
        self._inferences = self._nan_outputs = self._late = self._exercised = 0
        self._errors: Counter[str] = Counter()

    def open(self, mode: Mode) -> None:
        """Begin a window; one that is open is closed first."""
        self.close()
        with self._lock:
            self._mode = mode
            self._open = _Open(since_s=self._clock())

    def answered(
        self, latency_s: float, *, label: str = "", confidence: float = -1.0, nan: bool = False
    ) -> None:
        """Record an inference that gave an answer.

        Args:
            latency_s: From the raw sample to the answer, seconds.
            label: Class of the answer; empty when the model has none.
            confidence: Its probability; below 0 for none.
            nan: Whether the answer held a NaN.
        """
        latency_ms = latency_s * 1e3 or MIN_LATENCY_MS
        with self._lock:
            self._inferences += 1
            self._late += latency_ms > self._deadline_ms
            self._nan_outputs += nan
            window = self._open
            if window is None:
                return
            window.latencies_ms.append(latency_ms)
            window.nan_outputs += nan
            if label:
                window.labels.append(label)
            if confidence >= 0:
                window.scores.append(confidence)

    def remember(self, sample: str, label: str) -> None:
        """Record which class answered a request, if its id belongs to the share that is wanted.

        The share is drawn by the id: the same request is recorded on every device, or on none.
        """
        if not label or not 0 < len(sample) <= MAX_NAME or len(label) > MAX_NAME:
            return
        if zlib.crc32(sample.encode()) >= self._answers_share * (1 << 32):
            return
        with self._lock:
            if self._open is not None and len(self._open.answers) < MAX_ANSWERS:
                self._open.answers[sample] = label

    def samples_now(self, now_s: float) -> bool:
        """Say whether this inference is one whose features are counted; `saw` follows then."""
        if self.reference is None or now_s < self._features_due_s:
            return False
        self._features_due_s = now_s + FEATURES_EVERY_S
        return True

    def saw(self, features: Features) -> None:
        """Keep what an inference looked like, to be compared with the bundle's reference."""
        with self._lock:
            if self._open is not None:
                self._open.features.append(features)

    def failed(self, stage: str) -> None:
        """Record an inference without an answer, by stage: pre, infer, post, timeout."""
        with self._lock:
            self._errors[stage] += 1
            if self._open is not None:
                self._open.errors[stage] += 1

    def exercised(self, count: int) -> None:
        """Record golden samples that were recomputed while serving."""
        with self._lock:
            self._exercised += count
            if self._open is not None:
                self._open.exercised += count

    def stats(self) -> Stats:
        """Return the counters since the start of the process."""
        with self._lock:
            return Stats(
                inferences=self._inferences,
                errors=dict(self._errors),
                nan_outputs=self._nan_outputs,
                late=self._late,
                exercised=self._exercised,
                rss_mb=self._rss_mb(),
            )

    def tick(self) -> None:
        """Close the window and begin the next, if its time is over."""
        with self._lock:
            due = self._open is not None and self._clock() - self._open.since_s >= self._window_s
        if due:
            self.open(self._mode)

    def close(self) -> None:
        """Store the open window; an empty one that is not due is forgotten."""
        now = self._clock()
        with self._lock:
            window, self._open = self._open, None
        if window is None or (window.empty and now - window.since_s < self._window_s):
            return
        try:
            self._spool.append(self._summed(window, now))
            self._lost = 0
        except StorageError as error:
            self._lost += 1
            logger.warning("window lost", extra={"fields": {"error": str(error)}})

    def _summed(self, window: _Open, now: float) -> Window:
        return Window(
            seq=0,
            model=self._model,
            digest=self._digest,
            boot_id=self._boot_id,
            ended_mono_s=now,
            duration_s=now - window.since_s,
            inferences=len(window.latencies_ms),
            errors=dict(window.errors),
            nan_outputs=window.nan_outputs,
            dropped_windows=self._lost,
            exercised=window.exercised,
            latency_ms=LogHistogram.of(window.latencies_ms),
            confidence=confidence_bins(window.scores),
            classes=top_classes(dict(Counter(window.labels))),
            rss_mb=self._rss_mb(),
            state=self._mode,
            answers=window.answers,
            drift=self._counted(window.features),
            machine=self._machine(),
        )

    def _counted(self, features: list[Features]) -> dict[str, tuple[int, ...]]:
        if self.reference is None or not features:
            return {}
        return count(self.reference, features).numbers
