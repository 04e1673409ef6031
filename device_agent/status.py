"""What an agent says about itself: written by the running one, read by `edgekit-agent status`."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from device_agent.config import Layout
from device_agent.identity import load_identity
from device_agent.journal import Ending, Journal, Record
from device_agent.seats import FrontView
from device_agent.slots import SlotStore
from device_agent.spool import SpoolFacts, read_facts
from device_agent.states import AT_REST
from edgekit import codec
from edgekit.errors import FormatError
from edgekit.machine import SYSTEM, Probe, probe


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One model on the device.

    Attributes:
        version: Version of the release that answers; empty when nothing does.
        variant: Name of its variant.
        digest: SHA-256 of its bundle.
        serving: Whether it answers at this moment.
        mode: "steady" or "probation".
        worker_pid: Its process; 0 for none.
        address: HTTP address of inference.
        socket: Unix socket of inference.
        inferences: Answers since the worker started.
        active: SHA-256 of the committed bundle.
        previous: SHA-256 of the one before.
        parameters_version: The server's number of the parameters that it was given; 0 for none.
        parameters_refused: Why defaults hold instead; empty when they do not.
    """

    version: str = ""
    variant: str = ""
    digest: str = ""
    serving: bool = False
    mode: str = ""
    worker_pid: int = 0
    address: str = ""
    socket: str = ""
    inferences: int = 0
    active: str = ""
    previous: str = ""
    parameters_version: int = 0
    parameters_refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStatus:
    """What only the running agent knows; status.json.

    Attributes:
        pid: Its process.
        contact_error: Why the server was not reached last; empty after a success.
        models: By name.
    """

    pid: int
    contact_error: str = ""
    models: dict[str, ModelStatus] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `edgekit-agent status --json` prints.

    Attributes:
        device_id: Name of the device.
        server: Address of its server.
        agent_pid: The running agent; 0 when none runs.
        state: What the update is doing.
        action: The server's number of the deployment that is being done.
        version: Version that is being installed.
        last: How the last deployment ended.
        contact_error: Why the server was not reached last.
        models: By name.
        spool: Counters of telemetry; None before the first start.
        machine: Temperature, frequency, throttling and power mode at this moment.
    """

    device_id: str
    server: str
    agent_pid: int
    state: str
    action: str = ""
    version: str = ""
    last: Ending | None = None
    contact_error: str = ""
    models: dict[str, ModelStatus] = field(default_factory=dict)
    spool: SpoolFacts | None = None
    machine: Probe | None = None


def model_status(front: FrontView) -> ModelStatus:
    """Return the part of a status that the supervisor knows."""
    return ModelStatus(
        version=front.version,
        variant=front.variant,
        digest=front.digest,
        serving=front.serving,
        mode=front.mode,
        worker_pid=front.pid,
        address=front.address,
        socket=front.unix,
        inferences=front.stats.inferences,
        parameters_version=front.stats.parameters_version,
        parameters_refused=front.stats.parameters_refused,
    )


def write_live(path: Path, live: LiveStatus) -> None:
    """Replace status.json; not durable, because a restart writes it anew."""
    new = path.with_suffix(".new")
    new.write_bytes(codec.encode(live))
    new.replace(path)


def agent_runs(lock: Path) -> bool:
    """Say whether an agent holds the lock of this folder."""
    if not lock.exists():
        return False
    handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def read_status(layout: Layout, *, system: Path = SYSTEM) -> Status:
    """Put together what the folder says about the device.

    Raises:
        UsageError: The device is not enrolled.
        FormatError: A file is damaged.
    """
    identity = load_identity(layout.identity)
    record = Journal(layout.journal).read()
    live = _live(layout) if agent_runs(layout.lock) else None
    wanted = None if record.state in AT_REST else record.deployment
    return Status(
        device_id=identity.device_id,
        server=identity.server,
        agent_pid=live.pid if live else 0,
        state=record.state,
        action=wanted.action if wanted else "",
        version=wanted.version if wanted else "",
        last=_last(record),
        contact_error=live.contact_error if live else "",
        models=_models(layout, live),
        spool=read_facts(layout.spool),
        machine=probe(0.0, system=system),
    )


def _last(record: Record) -> Ending | None:
    return record.ending or record.last


def _live(layout: Layout) -> LiveStatus | None:
    try:
        return codec.decode(layout.status.read_bytes(), LiveStatus, where=str(layout.status))
    except (OSError, FormatError):
        return None


def _models(layout: Layout, live: LiveStatus | None) -> dict[str, ModelStatus]:
    models = dict(live.models) if live else {}
    for slots in SlotStore(layout.models).all():
        pointers = slots.pointers()
        known = models.get(slots.model, ModelStatus())
        models[slots.model] = replace(known, active=pointers.active, previous=pointers.previous)
    return models
