"""Whether this device can do its work: one finding a question, from the machine itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from device_agent.boot import clock_synchronised
from device_agent.config import Config, Layout
from device_agent.download import SPARE_BYTES
from device_agent.enrolment import believe_only
from device_agent.identity import Identity, load_identity
from device_agent.journal import Journal
from device_agent.profile import detect_apart
from device_agent.slots import SlotStore
from device_agent.spool import read_facts
from device_agent.transport import Transport
from edgekit.errors import EdgeKitError, RefusedError

LOW_ROOM_BYTES = 256 << 20
CLOCK_OFF = timedelta(minutes=5)
STALE_TRUST = timedelta(days=7)


class Level(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one question."""

    question: str
    level: Level
    answer: str


def examine(config: Config, layout: Layout, *, now: datetime) -> list[Finding]:
    """Return every finding; one that cannot be answered is a FAIL with the reason."""
    believe_only(layout.ca)
    questions: dict[str, Callable[[], Iterator[Finding]]] = {
        "runtime": lambda: _runtime(config),
        "disk": lambda: _disk(layout),
        "state": lambda: _state(layout),
        "network": lambda: _network(layout, now),
        "trust": lambda: _trust(layout, now),
    }
    found: list[Finding] = []
    for question, ask in questions.items():
        try:
            found += ask()
        except (EdgeKitError, OSError) as error:
            found.append(Finding(question=question, level=Level.FAIL, answer=str(error)))
    return found


def _runtime(config: Config) -> Iterator[Finding]:
    profile = detect_apart(config.runtimes)
    names = ", ".join(f"{name} {version}" for name, version in sorted(profile.runtimes.items()))
    level = Level.OK if names else Level.FAIL
    yield Finding(question="runtime", level=level, answer=names or "none works here")
    sets = ", ".join(profile.instruction_sets) or "none that matters to int8"
    yield Finding(question="instruction set", level=Level.OK, answer=f"{profile.arch}: {sets}")


def _disk(layout: Layout) -> Iterator[Finding]:
    free = shutil.disk_usage(layout.folder).free
    level = Level.FAIL if free < SPARE_BYTES else Level.WARN if free < LOW_ROOM_BYTES else Level.OK
    yield Finding(question="disk", level=level, answer=f"{free >> 20} MiB free")
    probe = layout.folder / ".new-doctor"
    probe.write_bytes(b"")
    probe.unlink()


def _state(layout: Layout) -> Iterator[Finding]:
    record = Journal(layout.journal).read()
    yield Finding(question="journal", level=Level.OK, answer=f"update is {record.state}")
    for slots in SlotStore(layout.models).all():
        active = slots.pointers().active
        sound = not active or slots.holds(active)
        answer = f"{active[:12] or 'nothing'} {'is' if sound else 'is not'} what its digest says"
        level = Level.OK if sound else Level.FAIL
        yield Finding(question=f"model {slots.model}", level=level, answer=answer)
    facts = read_facts(layout.spool)
    if facts is not None:
        lost = facts.dropped + facts.refused
        answer = f"{facts.waiting} windows wait, {lost} were lost"
        level = Level.WARN if lost else Level.OK
        yield Finding(question="telemetry", level=level, answer=answer)


def _network(layout: Layout, now: datetime) -> Iterator[Finding]:
    identity = load_identity(layout.identity)
    transport = Transport(identity.addresses, _headers(identity), timeout_s=10.0)
    try:
        answer = transport.request("GET", identity.base_url)
    except RefusedError as error:
        yield Finding(question="network", level=Level.FAIL, answer=str(error))
        return
    finally:
        transport.close()
    yield Finding(question="network", level=Level.OK, answer=f"{identity.server} answers")
    yield _clock(answer.headers.get("date", ""), now)


def _clock(date: str, now: datetime) -> Finding:
    set_by = "set" if clock_synchronised() else "not known to be set"
    try:
        off = now - parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return Finding(question="clock", level=Level.WARN, answer=f"{set_by}, nothing to compare")
    seconds = f"{off.total_seconds():+.0f} s from the server's, {set_by}"
    level = Level.OK if abs(off) < CLOCK_OFF else Level.WARN
    return Finding(question="clock", level=level, answer=seconds)


def _trust(layout: Layout, now: datetime) -> Iterator[Finding]:
    from edgekit.trust.cache import TrustCache

    index = TrustCache(layout.trust).load()
    if index.verified_at is None:
        yield Finding(question="trust", level=Level.OK, answer="pinned, never refreshed")
        return
    age = now - index.verified_at
    level = Level.WARN if age > STALE_TRUST else Level.OK
    yield Finding(question="trust", level=level, answer=f"verified {age.days} days ago")


def _headers(identity: Identity) -> dict[str, str]:
    return {"Authorization": identity.authorization, "Accept": "application/json"}
