"""If-Match: a change goes ahead only if nobody changed its subject since the caller read it.

Checked inside the transaction that writes, so that of two who read the same one wins, in whichever
process. What counts is what people decide about a thing (its state), not what devices report: a
poll between reading and writing spoils nothing. Source: RFC 9110, sections 8.8.3 and 13.1.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from fleet_server.services.errors import ChangedError
from fleet_server.services.freeze import FLAG, freeze_view
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.views import release_view, rollout_view

DEVICE, RELEASE, ROLLOUT = "devices", "releases", "rollouts"
EXPERIMENT, ACCOUNT, PARAMETERS, FREEZE = "experiments", "accounts", "parameters", "freeze"
COUNTS: Mapping[str, tuple[str, ...]] = {
    DEVICE: ("labels", "pins", "state"),
    RELEASE: ("published_at", "state"),
    ROLLOUT: ("ended_at", "phase", "stage", "waits_for"),
    EXPERIMENT: ("phase", "winner"),
    ACCOUNT: ("disabled", "role"),
    PARAMETERS: ("version",),
    FREEZE: ("frozen", "reason"),
}
"""Fields of each view that a tag's first half is about."""

View = Mapping[str, Any]
_HEX = 16


@dataclass(slots=True, kw_only=True)
class Precondition:
    """What a caller expects of the thing that it changes.

    Attributes:
        kind: One of those in COUNTS.
        names: What its address names: an id, model and version, device and model, or nothing.
        tags: Entity tags without quotes; "*" is any.
        is_checked: It held once already in this request.
    """

    kind: str
    names: tuple[str, ...]
    tags: frozenset[str]
    is_checked: bool = field(default=False)

    def check(self, tables: Tables) -> None:
        """Do nothing if it holds, or if there is no such thing: the change itself will say so.

        Raises:
            ChangedError: The thing is not in the state that the caller read.
        """
        current = _current(tables, self.kind, self.names)
        if current is not None and not {"*", current} & {t.partition("-")[0] for t in self.tags}:
            raise ChangedError(
                "was changed since it was read",
                where="/".join((self.kind, *self.names)),
                todo="read it again, then decide",
                tag=current,
            )
        self.is_checked = True


_expected: ContextVar[Precondition | None] = ContextVar("precondition", default=None)


@contextmanager
def expecting(precondition: Precondition) -> Iterator[None]:
    """Have the first write within the block check a precondition."""
    token = _expected.set(precondition)
    try:
        yield
    finally:
        _expected.reset(token)


def state_tag(kind: str, view: View) -> str:
    """Return the first half of a thing's tag: 16 hex digits over what people decide about it.

    Args:
        kind: One of those in COUNTS.
        view: The thing as the API shows it; of parameters the last version.
    """
    counted = [view.get(name) for name in COUNTS[kind]]
    text = json.dumps(counted, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HEX]


class ConditionalDatabase:
    """A database whose first write of a request checks what the caller expects."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.read = inner.read
        self.append = inner.append
        self.together = inner.together
        self.roll_up = inner.roll_up

    @property
    def commits(self) -> int:
        """How many transactions with recorded changes this process committed."""
        return self._inner.commits

    @contextmanager
    def write(self) -> Iterator[Tables]:
        """Begin to write all or nothing.

        Raises:
            ChangedError: The caller expected another state.
        """
        with self._inner.write() as tables:
            expected = _expected.get()
            if expected is not None and not expected.is_checked:
                expected.check(tables)
            yield tables


def _current(tables: Tables, kind: str, names: tuple[str, ...]) -> str | None:
    view = _LOOK[kind](tables, *names)
    return None if view is None else state_tag(kind, view)


def _device(tables: Tables, device_id: str) -> View | None:
    device = tables.devices.get(device_id)
    if device is None:
        return None
    return {"labels": device.labels, "pins": device.pins, "state": device.state.value}


def _release(tables: Tables, model: str, version: str) -> View | None:
    release = tables.releases.get(model, version)
    return None if release is None else _counted(RELEASE, release_view(release))


def _rollout(tables: Tables, rollout_id: str) -> View | None:
    record = tables.rollouts.get(rollout_id)
    return None if record is None else _counted(ROLLOUT, rollout_view(record, {}, ()))


def _experiment(tables: Tables, experiment_id: str) -> View | None:
    record = tables.experiments.get(experiment_id)
    if record is None:
        return None
    return {"phase": record.experiment.phase.value, "winner": record.experiment.winner}


def _account(tables: Tables, name: str) -> View | None:
    account = tables.accounts.get(name)
    return None if account is None else {"disabled": account.disabled, "role": account.role.value}


def _parameters(tables: Tables, device_id: str, model: str) -> View | None:
    """Return the last version; an empty view where nothing was set yet."""
    if tables.devices.get(device_id) is None:
        return None
    versions = [r.version for r in tables.parameters.of_device(device_id) if r.model == model]
    return {"version": max(versions)} if versions else {}


def _freeze(tables: Tables) -> View:
    return _counted(FREEZE, freeze_view(tables.flags.get(FLAG)))


def _counted(kind: str, shown: object) -> View:
    return {name: getattr(shown, name) for name in COUNTS[kind]}


_LOOK: Mapping[str, Callable[..., View | None]] = {
    DEVICE: _device,
    RELEASE: _release,
    ROLLOUT: _rollout,
    EXPERIMENT: _experiment,
    ACCOUNT: _account,
    PARAMETERS: _parameters,
    FREEZE: _freeze,
}
