"""Benchmark jobs from the server: one at a time, in a process of its own, while nothing is due.

A bundle in a slot is measured where it lies; any other is fetched for the job, as signed as for an
update, and taken away after it. An update ends a job at once. An answer is kept until the server
has it. Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from device_agent.ddi import Ddi
from device_agent.slots import SlotStore
from device_agent.visiting import NoVisitError, Visits
from edgekit import codec
from edgekit.errors import EdgeKitError, FormatError, NetworkError, RefusedError
from edgekit.jobs import BenchmarkAnswer, BenchmarkJob, BenchmarkRefusal

logger = logging.getLogger(__name__)
MAX_JOB_S = 3600.0
GRACE_S = 300.0
END_WITHIN_S = 5.0


class Benchmarks:
    """Takes jobs from the agent's loop and answers them in a thread.

    Args:
        ddi: With a transport of its own: transports are not shared between threads.
        slots: What the device holds.
        visits: Brings what it does not hold; its `interrupted` ends measurements too.
        busy_share: Share of all cores that may be busy when a measurement begins.
    """

    def __init__(self, ddi: Ddi, slots: SlotStore, visits: Visits, *, busy_share: float) -> None:
        self._ddi, self._slots, self._busy_share = ddi, slots, busy_share
        self._visits, self._interrupted = visits, visits.interrupted
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._unsent: dict[str, BenchmarkAnswer] = {}

    @property
    def active(self) -> bool:
        """Whether a job goes on."""
        return self._thread is not None and self._thread.is_alive()

    def offer(self, url: str) -> None:
        """Begin a job unless one goes on; returns at once."""
        if self.active:
            return
        self._interrupted.clear()
        self._thread = threading.Thread(
            target=self._work, args=(url,), name="benchmark", daemon=True
        )
        self._thread.start()

    def interrupt(self) -> None:
        """End the measurement that goes on: something more important is due."""
        with self._lock:
            self._interrupted.set()
            process = self._process
            if process is not None and process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def sweep(self) -> None:
        """Take away what a killed agent left of a job; before the first job."""
        self._visits.sweep()

    def close(self) -> None:
        """End what goes on and wait a little for its end; the next start sweeps the rest."""
        self.interrupt()
        if self._thread is not None:
            self._thread.join(END_WITHIN_S)

    def _work(self, url: str) -> None:
        try:
            if url not in self._unsent:
                self._unsent[url] = self._answer(self._ddi.benchmark(url))
            self._ddi.answer_benchmark(url, self._unsent[url])
        except (NetworkError, FormatError) as error:
            logger.debug("benchmark waits", extra={"fields": {"error": str(error)}})
            return
        except RefusedError as error:
            logger.info("benchmark not wanted", extra={"fields": {"error": str(error)}})
        self._unsent.pop(url, None)

    def _answer(self, job: BenchmarkJob) -> BenchmarkAnswer:
        fields: dict[str, object] = {"job": job.id, "model": job.model, "digest": job.digest[:12]}
        logger.info("benchmark begins", extra={"fields": fields})
        try:
            self._visits.open()
            path = self._held(job) or self._visits.bring(job, self._ddi.transport)
            answer = self._measured(path, job)
        except NoVisitError as error:
            answer = BenchmarkAnswer(refused=error.refused, detail=error.detail)
        finally:
            self._visits.sweep()
        fields |= {"refused": answer.refused or "", "detail": answer.detail}
        logger.info("benchmark ended", extra={"fields": fields})
        return answer

    def _held(self, job: BenchmarkJob) -> Path | None:
        """Return where the bundle lies, if its every byte is still what the digest says."""
        try:
            slots = next((s for s in self._slots.all() if s.model == job.model), None)
            if slots is None or not slots.holds(job.digest):
                return None
            return slots.bundle_path(job.digest)
        except (EdgeKitError, OSError):
            return None

    def _measured(self, path: Path, job: BenchmarkJob) -> BenchmarkAnswer:
        command = [sys.executable, "-m", "device_agent.benchmark", str(path)]
        with self._lock:
            if self._interrupted.is_set():
                return _updating()
            self._process = subprocess.Popen(
                [*command, codec.encode(job).decode(), str(self._busy_share)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": str(self._visits.folder)},
                start_new_session=True,
            )
        timer = threading.Timer(min(MAX_JOB_S, job.min_secs * 4) + GRACE_S, self._process.kill)
        timer.start()
        try:
            out, _ = self._process.communicate()
        finally:
            timer.cancel()
        if self._interrupted.is_set():
            return _updating()
        return _parsed(out, self._process.returncode)


def _updating() -> BenchmarkAnswer:
    return BenchmarkAnswer(refused=BenchmarkRefusal.UPDATING, detail="something else was due")


def _parsed(out: bytes, code: int) -> BenchmarkAnswer:
    try:
        return codec.decode(out, BenchmarkAnswer, where="benchmark")
    except FormatError:
        detail = f"the measuring process ended with {code}"
        return BenchmarkAnswer(refused=BenchmarkRefusal.FAILED, detail=detail)
