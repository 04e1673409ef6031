"""A bundle that comes for a benchmark only: signed, fetched, checked, and taken away again.

It lies in a folder of its own, never in a slot; no journal knows of it and nothing activates it.
Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_agent.boot import clock_synchronised
from device_agent.download import Pause, download, pause_s
from device_agent.transport import BACKOFF_BASE_S, BusyError, Transport
from edgekit.bundle import SUFFIX, open_bundle
from edgekit.device import DeviceProfile, mismatch
from edgekit.errors import (
    BundleError,
    EdgeKitError,
    NetworkError,
    RefusedError,
    StorageError,
    TrustError,
)
from edgekit.jobs import BenchmarkJob, BenchmarkRefusal
from edgekit.trust.process import Request
from edgekit.trust.targets import TargetInfo

ATTEMPTS = 5
SLOWEST_BYTES_S = 1000.0
SLOW_FOR_S = 60.0


class NoVisitError(Exception):
    """The bundle cannot be measured here.

    Attributes:
        refused: What the server is told.
        detail: The same for people.
    """

    def __init__(self, refused: BenchmarkRefusal, detail: str) -> None:
        self.refused, self.detail = refused, detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """Brings bundles for benchmarks, one at a time.

    Attributes:
        folder: Where they lie; nothing else does.
        trust: Asks the trust metadata.
        trust_folder: Trusted metadata of the device.
        metadata_url: Returns where the server has the metadata.
        profile: Returns what the device can run.
        limit_kb_s: Most bytes a second, in thousands; 0 is no limit.
        interrupted: Set when something more important is due.
    """

    folder: Path
    trust: Callable[[Request], TargetInfo]
    trust_folder: Path
    metadata_url: Callable[[], str]
    profile: Callable[[], DeviceProfile]
    limit_kb_s: float
    interrupted: threading.Event

    def open(self) -> None:
        """Make the folder, empty; without it only what is held can be measured."""
        self.sweep()
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, mode=0o700)

    def sweep(self) -> None:
        """Take away whatever lies there; idempotent."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def bring(self, job: BenchmarkJob, transport: Transport) -> Path:
        """Return where the bundle of a job lies now, every byte of it signed for that release.

        Raises:
            NoVisitError: It cannot be measured here, or something else is due.
            NetworkError: The server could not be reached; the job waits.
        """
        if not job.target or not job.download:
            raise NoVisitError(
                BenchmarkRefusal.NOT_HELD, f"{job.digest[:12]} is not on this device"
            )
        path = self.folder / f"{job.digest}{SUFFIX}"
        try:
            self._fetch(job, self._signed_length(job, transport), path, transport)
            self._check(job, path)
        except NetworkError:
            raise
        except EdgeKitError as error:
            raise NoVisitError(_word(error), str(error)) from error
        except OSError as error:
            raise NoVisitError(BenchmarkRefusal.NO_ROOM, str(error)) from error
        return path

    def _signed_length(self, job: BenchmarkJob, transport: Transport) -> int:
        info = self.trust(
            Request(
                folder=str(self.trust_folder),
                metadata_url=transport.reachable(self.metadata_url()),
                path=job.target,
                model=job.model,
                version=job.version,
                variant=job.variant,
                clock_synchronised=clock_synchronised(),
            )
        )
        if info.sha256 != job.digest:
            raise TrustError(f"asked for is {job.digest[:12]}, signed is {info.sha256[:12]}")
        return info.length

    def _fetch(self, job: BenchmarkJob, size: int, path: Path, transport: Transport) -> None:
        """Get the bytes; a connection that breaks is taken up where it ended."""
        for attempt in range(1, ATTEMPTS + 1):
            self._go_on()
            try:
                pause = self._pause(job.download)
                download(transport, job.download, path, sha256=job.digest, size=size, pause=pause)
            except NetworkError as error:
                if attempt == ATTEMPTS:
                    raise
                asked_s = error.retry_after_s if isinstance(error, BusyError) else 0.0
                self.interrupted.wait(max(asked_s, BACKOFF_BASE_S * attempt))
            else:
                return

    def _check(self, job: BenchmarkJob, path: Path) -> None:
        """Refuse a bundle that is another one or that this device cannot run."""
        self._go_on()
        manifest = open_bundle(path).manifest
        inside = (manifest.model, manifest.version, manifest.variant)
        if inside != (job.model, job.version, job.variant):
            raise BundleError(f"holds {' '.join(inside)}", where=job.digest[:12])
        why = mismatch(manifest.requires, self.profile())
        if why:
            raise NoVisitError(BenchmarkRefusal.UNSUPPORTED, why)

    def _pause(self, where: str) -> Pause:
        started_s = time.monotonic()

        def pause(came: int) -> None:
            self._go_on()
            elapsed_s = time.monotonic() - started_s
            slowest = 0.0 if self.limit_kb_s else SLOWEST_BYTES_S
            if elapsed_s > SLOW_FOR_S and came < slowest * elapsed_s:
                raise NetworkError(f"only {came} bytes in {elapsed_s:.0f} s", where=where)
            if self.interrupted.wait(pause_s(came, elapsed_s, limit_kb_s=self.limit_kb_s)):
                self._go_on()

        return pause

    def _go_on(self) -> None:
        if self.interrupted.is_set():
            raise NoVisitError(BenchmarkRefusal.UPDATING, "something else was due")


def _word(error: EdgeKitError) -> BenchmarkRefusal:
    words = (
        (TrustError, BenchmarkRefusal.UNTRUSTED),
        (StorageError, BenchmarkRefusal.NO_ROOM),
        (RefusedError, BenchmarkRefusal.NOT_HELD),
    )
    return next((word for kind, word in words if isinstance(error, kind)), BenchmarkRefusal.FAILED)
