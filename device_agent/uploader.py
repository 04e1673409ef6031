"""Sends windows to the server in a thread of its own and forgets what it has stored.

A batch that the server refuses is halved until the window at fault is alone, counted and dropped:
it never blocks the rest. Imports nothing heavy.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from device_agent.ddi import Ddi
from device_agent.spool import Spool
from device_agent.transport import BusyError, GoneError, StatusError, backoff_s
from edgekit.errors import FormatError, NetworkError, RefusedError, StorageError
from edgekit.protocol import MAX_BATCH_WINDOWS, TelemetryBatch

logger = logging.getLogger(__name__)
_NOT_ABOUT_THE_BATCH = frozenset({401, 403, 408})


class Uploader:
    """A thread that empties the spool."""

    def __init__(
        self,
        ddi: Ddi,
        spool: Spool,
        *,
        url: Callable[[], str],
        interval_s: float,
        boot_id: str,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            ddi: With a transport of its own: transports are not shared between threads.
            spool: With a connection of its own.
            url: Where windows are taken; empty as long as nobody knows.
            interval_s: Time between looks into the spool.
            boot_id: Name of this boot.
            clock: Monotonic, seconds.
            rng: For jitter.
        """
        self._ddi, self._spool, self._url = ddi, spool, url
        self._interval_s, self._boot_id = interval_s, boot_id
        self._clock, self._rng = clock, rng
        self._limit = MAX_BATCH_WINDOWS
        self._failures = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, *, wait_s: float = 5.0) -> None:
        """Send what is there once more, and end."""
        self._stop.set()
        self._thread.join(wait_s)

    def send_all(self) -> None:
        """Send batches until the spool is empty.

        Raises:
            NetworkError: No answer.
            RefusedError: The server takes no telemetry from this device.
            StorageError: The spool cannot be written.
            FormatError: The answer is no receipt.
        """
        while (url := self._url()) and self._send_one(url):
            pass

    def _run(self) -> None:
        wait_s = min(1.0, self._interval_s)
        while not self._stop.wait(wait_s):
            wait_s = self._try()
        self._try()

    def _try(self) -> float:
        try:
            self.send_all()
        except (NetworkError, RefusedError, StorageError, FormatError) as error:
            self._failures += 1
            asked_s = error.retry_after_s if isinstance(error, BusyError) else 0.0
            logger.debug("windows wait", extra={"fields": {"error": str(error)}})
            wait_s = backoff_s(self._failures, self._rng, at_least_s=asked_s)
            return min(wait_s, max(asked_s, 4 * self._interval_s))
        self._failures = 0
        # Until the first poll there is no address yet: look again soon.
        return self._interval_s if self._url() else min(0.5, self._interval_s)

    def _send_one(self, url: str) -> bool:
        """Send one batch; False when there was nothing to send, or nothing was taken."""
        windows = self._spool.oldest(self._limit)
        if not windows:
            return False
        self._spool.secure()
        batch = TelemetryBatch(
            spool_id=self._spool.spool_id,
            boot_id=self._boot_id,
            sent_mono_s=self._clock(),
            windows=windows,
        )
        try:
            receipt = self._ddi.send_windows(url, batch)
        except StatusError as error:
            if isinstance(error, GoneError) or error.status in _NOT_ABOUT_THE_BATCH:
                raise
            self._isolate([w.seq for w in windows])
            return True
        self._limit = max(1, min(receipt.max_windows, MAX_BATCH_WINDOWS))
        self._spool.forget(receipt.accepted, receipt.refused)
        return bool(receipt.accepted or receipt.refused)

    def _isolate(self, sent: list[int]) -> None:
        """Halve the batch; give up a window that is refused alone."""
        if len(sent) > 1:
            self._limit = len(sent) // 2
            return
        logger.error("window refused", extra={"fields": {"seq": sent[0]}})
        self._spool.forget((), sent)
        self._limit = MAX_BATCH_WINDOWS
