"""Reads the profile that ONNX Runtime writes: events of the kernels, in microseconds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from edgekit import codec
from edgekit.errors import FormatError, RuntimeFailedError
from edgekit.runtime.profile import OperatorTime

_NODE, _KERNEL = "Node", "_kernel_time"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    name: str = ""
    cat: str = ""
    dur: float = 0.0
    args: dict[str, object] = field(default_factory=dict)


def operator_times(text: bytes, *, where: str, skip_runs: int = 1) -> tuple[OperatorTime, ...]:
    """Return the median of each kernel over the runs, in the order in which they first ran.

    Args:
        text: The profile, a JSON array of trace events.
        where: For the message of an error.
        skip_runs: First runs that are left out, because they allocate.

    Raises:
        RuntimeFailedError: It is no profile.
    """
    try:
        events = codec.decode(text, list[_Event], where=where)
    except FormatError as error:
        raise RuntimeFailedError("ONNX Runtime gives no readable profile", where=where) from error
    times: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for event in events:
        if event.cat == _NODE and event.name.endswith(_KERNEL):
            name = event.name.removesuffix(_KERNEL)
            times.setdefault(name, []).append(event.dur / 1000.0)
            kinds[name] = str(event.args.get("op_name", ""))
    return tuple(
        OperatorTime(name=name, kind=kinds[name], median_ms=median(_later(values, skip_runs)))
        for name, values in times.items()
    )


def _later(values: Sequence[float], skip: int) -> Sequence[float]:
    return values[skip:] or values
