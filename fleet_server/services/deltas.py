"""Deltas between releases, made in the background and kept as files: nothing waits for them."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path

from edgekit.delta import WORTH, make_delta
from edgekit.errors import EdgeKitError, StorageError
from fleet_server.services.ports.files import Blobs, DeltaFiles
from fleet_server.services.records.releases import ReleaseRecord

logger = logging.getLogger(__name__)
MAX_BUNDLE_BYTES = 256 << 20
"""A larger bundle gets no delta: making one holds both bundles in memory."""
BASES = 3
"""A release gets deltas from so many releases before it."""


class DeltaService:
    """Makes deltas one after the other in a thread of its own."""

    def __init__(self, blobs: Blobs, files: DeltaFiles) -> None:
        self._blobs, self._files = blobs, files
        self._wanted: queue.Queue[tuple[str, str]] = queue.Queue()
        self._asked: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def size(self, old: str, new: str) -> int:
        """Return the length of the delta between two bundles (SHA-256); 0 when there is none.

        One that was never tried is begun: the next device may get it.
        """
        if not old or old == new:
            return 0
        known = self._files.find(old, new)
        if known is None:
            self._ask(old, new)
            return 0
        return known.stat().st_size

    def path(self, old: str, new: str) -> Path | None:
        """Return where a delta that is worth it lies; None when there is none."""
        known = self._files.find(old, new)
        return known if known is not None and known.stat().st_size else None

    def released(self, release: ReleaseRecord, others: list[ReleaseRecord]) -> None:
        """Begin the deltas from the releases before to a new one, variant by variant."""
        before = [r for r in others if (r.model, r.version) != (release.model, release.version)]
        of_model = [r for r in before if r.model == release.model][-BASES:]
        for variant in release.variants:
            for old in of_model:
                base = old.variant(variant.variant)
                if base is not None:
                    self.size(base.digest, variant.digest)

    def wait(self) -> None:
        """Wait until all that was begun is made."""
        self._wanted.join()

    def _ask(self, old: str, new: str) -> None:
        with self._lock:
            if (old, new) in self._asked:
                return
            self._asked.add((old, new))
            self._wanted.put((old, new))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deltas", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            old, new = self._wanted.get()
            try:
                self._make(old, new)
            except (EdgeKitError, OSError, MemoryError) as error:
                fields = {"old": old[:12], "new": new[:12], "error": str(error)}
                logger.warning("no delta", extra={"fields": fields})
            finally:
                self._wanted.task_done()

    def _make(self, old: str, new: str) -> None:
        base, target = self._blobs.find(old), self._blobs.find(new)
        if base is None or target is None:
            raise StorageError("a bundle is not here", where=f"{old[:12]} -> {new[:12]}")
        if max(base.stat().st_size, target.stat().st_size) > MAX_BUNDLE_BYTES:
            return self._files.put(old, new, b"")
        whole = target.read_bytes()
        delta = make_delta(base.read_bytes(), whole)
        worth = len(delta) < WORTH * len(whole)
        fields = {"old": old[:12], "new": new[:12], "bytes": len(delta), "whole": len(whole)}
        logger.info("delta made" if worth else "delta not worth it", extra={"fields": fields})
        return self._files.put(old, new, delta if worth else b"")
