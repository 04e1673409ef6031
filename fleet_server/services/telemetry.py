"""Windows from devices: each stored once, on the server's clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from edgekit.errors import FormatError
from edgekit.protocol import MAX_BATCH_WINDOWS, TelemetryBatch, TelemetryReceipt
from edgekit.telemetry import Window
from fleet_server.services.errors import TooLargeError
from fleet_server.services.ports.database import Database
from fleet_server.services.records.telemetry import WindowRecord, WindowTotals
from fleet_server.services.soundness import is_sound

_SPOOL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LEAST_GRANT = 10


class TelemetryService:
    """Stores batches and adds them up."""

    def __init__(self, database: Database, *, kept_days: float = 90.0) -> None:
        self._database = database
        self._kept_days = kept_days
        self._rolled_up_to: datetime | None = None

    def store(
        self, device_id: str, batch: TelemetryBatch, *, received_at: datetime
    ) -> TelemetryReceipt:
        """Store a batch; durable on return. What is stored already is accepted again.

        Raises:
            FormatError: The spool has no usable name.
            TooLargeError: More windows than a batch may hold.
        """
        records, receipt = self.prepare(device_id, batch, received_at=received_at)
        self.keep(records)
        return receipt

    def prepare(
        self, device_id: str, batch: TelemetryBatch, *, received_at: datetime, load: float = 0.0
    ) -> tuple[list[WindowRecord], TelemetryReceipt]:
        """Return what of a batch is to be stored, and what to answer once it is; stores nothing.

        Args:
            device_id: Who sent it.
            batch: As it was sent.
            received_at: UTC.
            load: How busy the server is, 0 to 1: the next batch is granted less.

        Raises:
            FormatError: The spool has no usable name.
            TooLargeError: More windows than a batch may hold.
        """
        if not _SPOOL_ID.fullmatch(batch.spool_id):
            raise FormatError("the spool's name cannot be used", where="telemetry")
        if len(batch.windows) > MAX_BATCH_WINDOWS:
            raise TooLargeError(f"more than {MAX_BATCH_WINDOWS} windows", where="telemetry")
        records, refused = [], []
        for window in batch.windows:
            if not is_sound(window):
                refused.append(window.seq)
                continue
            records.append(
                WindowRecord(
                    device_id=device_id,
                    spool_id=batch.spool_id,
                    window=window,
                    received_at=received_at,
                    ended_at=aligned_end(window, batch, received_at=received_at),
                )
            )
        receipt = TelemetryReceipt(
            accepted=tuple(record.window.seq for record in records),
            refused=tuple(refused),
            max_windows=max(_LEAST_GRANT, int(MAX_BATCH_WINDOWS * (1.0 - load))),
        )
        return records, receipt

    def keep(self, records: Sequence[WindowRecord]) -> None:
        """Store windows, of one device or of many, each once; durable on return."""
        with self._database.append() as tables:
            tables.telemetry.add(records)

    def keep_all(self, batches: Sequence[Sequence[WindowRecord]]) -> list[int]:
        """Store several batches in one commit; returns how many windows each has."""
        self.keep([record for batch in batches for record in batch])
        return [len(batch) for batch in batches]

    def forget(self, *, now: datetime) -> int:
        """Keep windows of days before those that are kept as sums a day; returns how many.

        All windows are looked through for it, once a day and process.
        """
        oldest = now - timedelta(days=self._kept_days)
        midnight = oldest.replace(hour=0, minute=0, second=0, microsecond=0)
        if midnight == self._rolled_up_to:
            return 0
        rolled = self._database.roll_up(before=midnight)
        self._rolled_up_to = midnight
        return rolled

    def totals(self, device_id: str) -> list[WindowTotals]:
        """Add up what arrived from a device."""
        with self._database.read() as tables:
            return list(tables.telemetry.totals(device_id))


def aligned_end(window: Window, batch: TelemetryBatch, *, received_at: datetime) -> datetime | None:
    """Return when a window ended on the server's clock; None when nobody can know.

    The device's monotonic clock only tells how long ago that was, and only within one boot.
    """
    if window.boot_id != batch.boot_id:
        return None
    age_s = batch.sent_mono_s - window.ended_mono_s
    if not 0 <= age_s < 10 * 365 * 86400:
        return None
    return received_at - timedelta(seconds=age_s)
