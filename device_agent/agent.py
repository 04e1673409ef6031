"""The agent: puts the parts together, then journal, step, advance, for ever.

The loop is the only writer of the journal. It writes before it acts, so that a restart knows what
was begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from device_agent.benchmarking import Benchmarks
from device_agent.boot import boot_id
from device_agent.config import Config, Layout
from device_agent.context import Contact, Context, Stopped
from device_agent.ddi import Ddi
from device_agent.diagnosing import Diagnosing
from device_agent.identity import Identity, load_identity
from device_agent.journal import Ending, Journal, Record
from device_agent.notify import notify
from device_agent.profile import fingerprint, profile_of, remember_tested, tested_on
from device_agent.slots import SlotStore
from device_agent.spool import Spool
from device_agent.states import (
    AT_REST,
    MAX_VISITS,
    SETTLED,
    TRANSITIONS,
    Event,
    State,
    advance,
    resume,
)
from device_agent.status import LiveStatus, model_status, read_status, write_live
from device_agent.steps import STEPS
from device_agent.supervisor import Supervisor
from device_agent.transport import Transport
from device_agent.uploader import Uploader
from device_agent.visiting import Visits
from edgekit import __version__
from edgekit.durable import forget_unfinished
from edgekit.errors import ConflictError, EdgeKitError, FormatError, StorageError
from edgekit.protocol import AGENT_HEADER, Outcome, Reason
from edgekit.trust.process import Request, ask
from edgekit.trust.targets import TargetInfo

if TYPE_CHECKING:
    from device_agent.metrics import MetricsServer

logger = logging.getLogger(__name__)
START_WAIT_S = 15.0
TROUBLE_WAIT_S = 5.0
FIRST_POLL_SPREAD_S = 60.0


class Agent:
    """One device's agent. `run` returns when `stop` was called."""

    def __init__(self, config: Config, layout: Layout) -> None:
        """Put the parts together; workers start in `run`.

        Raises:
            UsageError: The device is not enrolled, or none of the wanted runtimes works.
        """
        self._layout = layout
        self._stopping = threading.Event()
        self._journal = Journal(layout.journal)
        self._written = State.IDLE
        self._notify_address = os.environ.get("NOTIFY_SOCKET", "")
        self._status_lock = threading.Lock()
        identity = load_identity(layout.identity)
        self._headers = _headers_of(identity)
        rng = random.Random()  # noqa: S311 (jitter, no secret)
        spool = Spool(layout.spool, max_bytes=round(config.spool_mb * (1 << 20)))
        self._trusting = threading.Lock()
        self._benchmarks = Benchmarks(
            Ddi(Transport(identity.addresses, self._headers), identity),
            SlotStore(layout.models),
            self._visits(config),
            busy_share=config.benchmark_busy_share,
        )
        self._diagnosing = Diagnosing(
            Ddi(Transport(identity.addresses, self._headers), identity), layout
        )
        self._ctx = self._context(config, identity, rng)
        self._uploader = Uploader(
            Ddi(Transport(identity.addresses, self._headers), identity),
            spool,
            url=lambda: self._ctx.contact.telemetry_url,
            interval_s=config.upload_interval_s or config.window_s,
            boot_id=self._ctx.boot_id,
            clock=time.monotonic,
            rng=rng,
        )

    def stop(self) -> None:
        """Ask the agent to end; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Serve what was committed, finish what was begun, follow the server; until stopped."""
        record = self._recover()
        self._uploader.start()
        self._metrics = self._show_metrics()
        notify(self._notify_address, "READY=1")
        try:
            while not self._stopping.is_set():
                record = self._persist(record)
                event, record = self._step(record)
                record = replace(record, state=advance(record.state, event))
        except Stopped:
            logger.info("stopping", extra={"fields": {"state": record.state}})
        finally:
            notify(self._notify_address, "STOPPING=1")
            self._interrupt(record)
            self._benchmarks.close()
            self._diagnosing.interrupt()
            self._ctx.supervisor.stop()
            self._uploader.stop()
            if self._metrics is not None:
                self._metrics.close()
            self.publish()

    def _show_metrics(self) -> MetricsServer | None:
        port = self._ctx.config.metrics_port
        if not port:
            return None
        from device_agent.metrics import MetricsServer

        return MetricsServer(port, lambda: read_status(self._layout))

    def publish(self) -> None:
        """Write status.json; trouble with it is no reason to stop."""
        with self._status_lock, contextlib.suppress(OSError):
            models = {m: model_status(f) for m, f in self._ctx.supervisor.view().items()}
            live = LiveStatus(pid=os.getpid(), contact_error=self._ctx.contact.error, models=models)
            write_live(self._layout.status, live)

    def _context(self, config: Config, identity: Identity, rng: random.Random) -> Context:
        layout, boot = self._layout, boot_id()
        return Context(
            config=config,
            layout=layout,
            identity=identity,
            ddi=Ddi(Transport(identity.addresses, self._headers), identity),
            slots=SlotStore(layout.models),
            supervisor=Supervisor(config, layout, boot_id=boot, on_change=self._changed),
            profile=profile_of(layout, config.runtimes),
            boot_id=boot,
            trust=self._ask,
            stopping=self._stopping,
            clock=time.monotonic,
            now=lambda: datetime.now(UTC),  # noqa: TID251 (this is a composition root)
            rng=rng,
            contact=Contact(trust_url=identity.trust_url),
            alive=self._alive,
            measure=self._benchmarks.offer,
            diagnose=self._diagnosing.offer,
            stop_measuring=self._benchmarks.interrupt,
            authorize=lambda value: self._headers.update(Authorization=value),
        )

    def _visits(self, config: Config) -> Visits:
        layout = self._layout
        return Visits(
            folder=layout.measuring,
            trust=self._ask,
            trust_folder=layout.trust,
            metadata_url=lambda: self._ctx.contact.trust_url,
            profile=lambda: self._ctx.profile,
            limit_kb_s=config.download_kb_s,
            interrupted=threading.Event(),
        )

    def _ask(self, request: Request) -> TargetInfo:
        """Verify; one question after the other, because they share the trust folder."""
        with self._trusting:
            return ask(request)

    def _changed(self) -> None:
        if hasattr(self, "_ctx"):
            self.publish()

    def _alive(self) -> None:
        notify(self._notify_address, "WATCHDOG=1")
        self.publish()

    def _recover(self) -> Record:
        """Return where to go on, with every committed bundle answering."""
        record = self._read_journal()
        same_boot = record.boot_id == self._ctx.boot_id
        state = resume(record.state, same_boot=same_boot)
        if state is not record.state:
            logger.warning("resuming", extra={"fields": {"was": record.state, "now": state}})
        record = replace(record, state=state)
        if state is State.COMMITTING and record.deployment is not None:
            with contextlib.suppress(StorageError):  # the step of that name tries again
                self._ctx.slots.of(record.deployment.model).commit(record.deployment.digest)
        self._benchmarks.sweep()
        forget_unfinished(self._layout.folder)  # before a worker is there that writes
        self._serve_committed()
        self._sweep(record)
        if record.boot_id and not same_boot:
            # After a power cut in a whole district the devices do not ask all at once.
            spread_s = min(FIRST_POLL_SPREAD_S, self._ctx.poll_interval_s())
            self._ctx.contact.next_poll_s = time.monotonic() + spread_s * self._ctx.rng.random()
        return record

    def _sweep(self, record: Record) -> None:
        """Remove what a crash left over; what is being installed stays."""
        wanted = record.deployment
        for slots in self._ctx.slots.begun():
            with contextlib.suppress(FormatError, OSError):
                slots.collect(wanted.digest if wanted and wanted.model == slots.model else "")

    def _read_journal(self) -> Record:
        try:
            record = self._journal.read()
            self._written = record.state
            if record.state not in AT_REST:
                record.current()
        except FormatError as error:
            # What was committed is known without it; what the server wants, it says again.
            logger.exception("journal set aside", exc_info=error)
            with contextlib.suppress(OSError):
                self._journal.set_aside()
            for slots in self._ctx.slots.all():
                with contextlib.suppress(FormatError, StorageError):
                    slots.end_trial()
            return Record()
        return record

    def _serve_committed(self) -> None:
        started: list[str] = []
        again = tested_on(self._layout) not in {"", fingerprint(self._ctx.profile)}
        if again:
            logger.warning("runtime or CPU changed: the golden samples are recomputed")
        for slots in self._ctx.slots.all():
            try:
                digest = slots.forget_damaged()
            except FormatError as error:
                logger.exception("slots set aside", exc_info=error)
                with contextlib.suppress(OSError):
                    slots.set_aside()
                continue
            if digest:
                self._ctx.supervisor.serve(slots.model, digest, self_test=again)
                started.append(slots.model)
        for model in started:
            if not self._ctx.supervisor.wait_serving(model, timeout_s=START_WAIT_S):
                logger.error("does not answer yet", extra={"fields": {"model": model}})
                return
        remember_tested(self._layout, fingerprint(self._ctx.profile))

    def _persist(self, record: Record) -> Record:
        """Write what is about to be done; resting after resting is not worth a write."""
        if record.state in AT_REST and self._written in AT_REST:
            return record
        if record.visits >= MAX_VISITS and record.state not in SETTLED:
            record = _given_up(record)
        record = replace(record, visits=record.visits + 1, boot_id=self._ctx.boot_id)
        while True:
            try:
                self._journal.write(record)
                break
            except StorageError as error:
                # Nothing is done that could not be remembered.
                logger.error("journal waits", extra={"fields": {"error": str(error)}})  # noqa: TRY400 (expected, one line)
                self._ctx.wait(TROUBLE_WAIT_S)
        self._written = record.state
        if record.state not in AT_REST:
            logger.info("update", extra={"fields": {"state": record.state}})
        self.publish()
        return record

    def _step(self, record: Record) -> tuple[Event, Record]:
        try:
            return STEPS[record.state](self._ctx, record)
        except (EdgeKitError, OSError) as error:
            logger.exception("step failed", extra={"fields": {"state": record.state}})
            if record.state in AT_REST or (record.state, Event.FAILED) not in TRANSITIONS:
                self._ctx.wait(TROUBLE_WAIT_S)
                return (Event.WAKE if record.state is State.IDLE else Event.LATER), record
            full = isinstance(error, (StorageError, OSError))
            ending = _ending(record, Reason.NO_ROOM if full else Reason.LOAD, str(error))
            return Event.FAILED, replace(record, ending=ending)

    def _interrupt(self, record: Record) -> None:
        """Write where to go on; a trial that a person interrupted begins again."""
        with contextlib.suppress(StorageError, FormatError):
            if record.state is State.PROBATION:
                self._ctx.slots.of(record.current().model).end_trial()
                record = replace(record, state=advance(record.state, Event.STOPPED))
            if {record.state, self._written} - AT_REST:
                self._journal.write(replace(record, boot_id=self._ctx.boot_id))


def _given_up(record: Record) -> Record:
    """Return a record that ends a deployment which was begun too often."""
    message = f"given up in state {record.state} after {record.visits} visits"
    changed = record.state in {State.ACTIVATING, State.PROBATION, State.COMMITTING}
    return replace(
        record,
        state=State.ROLLING_BACK if changed else State.REPORTING,
        ending=_ending(record, Reason.INTERRUPTED, message),
    )


def _ending(record: Record, reason: Reason, message: str) -> Ending:
    wanted = record.current()
    return Ending(
        action=wanted.action,
        version=wanted.version,
        outcome=Outcome.FAILED,
        reason=reason,
        message=message,
    )


def _headers_of(identity: Identity) -> dict[str, str]:
    return {
        "Authorization": identity.authorization,
        "Accept": "application/json",
        AGENT_HEADER: __version__,
    }


def _open_lock(path: Path) -> int:
    """Open the lock, also on a disk that takes nothing any more."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def only_agent(layout: Layout) -> Iterator[None]:
    """Hold the folder's lock; it ends with the process.

    Raises:
        ConflictError: Another agent runs on the folder.
        StorageError: The folder cannot be written.
    """
    try:
        handle = _open_lock(layout.lock)
    except OSError as error:
        raise StorageError(
            f"cannot be locked ({error.strerror})", where=str(layout.lock)
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ConflictError("another agent runs here", where=str(layout.folder)) from error
    finally:
        os.close(handle)
