"""Shadow between two workers: the one that answers hands on inputs, the candidate tries them too.

The answer comes first: handing on is a copy and a bounded queue, and what finds no room is
dropped and counted. A thread of its own writes to the candidate, so that a candidate that is slow,
hangs or dies delays nobody.
"""

from __future__ import annotations

import logging
import math
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

import numpy as np

from device_agent.worker.agreement import agree, compares_outputs
from device_agent.worker.engine import Answer, Engine
from edgekit import codec
from edgekit.errors import EdgeKitError, FormatError
from edgekit.manifest import Postprocessing
from edgekit.runtime.base import Tensor
from edgekit.shadow import ShadowOrder, ShadowResult

logger = logging.getLogger(__name__)
WAITING = 4
MAX_HEADER_BYTES = 1 << 20
MIN_LATENCY_S = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """Header of one input on its way to the candidate; its tensors follow as bytes.

    Attributes:
        raw: The one input is a raw sample, before preprocessing.
        inputs: How many of the tensors are inputs; the rest are outputs.
        tensors: Dtype and shape of each.
        latency_s: Of the model that served.
        label: Class that it named; empty for none.
        whole: Its whole answer, where that is what is compared.
        dropped: Inputs dropped so far.
    """

    raw: bool
    inputs: int
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    latency_s: float
    label: str = ""
    whole: Any = None
    dropped: int = 0


class Tap:
    """In the worker that answers: hands on one in `every` inputs."""

    def __init__(self, end: socket.socket, order: ShadowOrder, spec: Postprocessing | None) -> None:
        self._end, self._every, self._spec = end, max(1, order.every), spec
        self._queue: queue.Queue[tuple[Handed, list[Tensor]] | None] = queue.Queue(WAITING)
        self._seen = self._dropped = 0
        self._open = True
        end.settimeout(None)
        threading.Thread(target=self._send, name="shadow", daemon=True).start()

    @property
    def dropped(self) -> int:
        """Inputs left out because the candidate was not done with the ones before."""
        return self._dropped

    def __call__(self, inputs: Sequence[Tensor], answer: Answer, *, raw: bool) -> None:
        """Hand on an input that was answered, if it is its turn; never waits."""
        self._seen += 1
        if not self._open or self._seen % self._every:
            return
        if self._queue.full():
            self._dropped += 1
            return
        label = answer.top.label if answer.top is not None else ""
        whole = answer.whole if isinstance(answer.whole, list) else None
        outputs = answer.outputs if compares_outputs(self._spec, label) else []
        tensors = [np.array(tensor, order="C") for tensor in (*inputs, *outputs)]
        handed = Handed(
            raw=raw,
            inputs=len(inputs),
            tensors=tuple((t.dtype.str, t.shape) for t in tensors),
            latency_s=answer.latency_s,
            label=label,
            whole=whole if not outputs else None,
            dropped=self._dropped,
        )
        try:
            self._queue.put_nowait((handed, tensors))
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Hand on no more."""
        self._open = False
        try:
            self._end.shutdown(socket.SHUT_RDWR)
            self._queue.put_nowait(None)
        except (OSError, queue.Full):
            pass  # the thread finds that out at its next write

    def _send(self) -> None:
        with self._end:
            while self._open and (item := self._queue.get()) is not None:
                handed, tensors = item
                try:
                    self._end.sendall(codec.encode(handed) + b"\n")
                    for tensor in tensors:
                        self._end.sendall(tensor.tobytes())
                except OSError:
                    self._open = False  # the candidate has ended: nothing is lost but evidence


class Mirror:
    """In the candidate: answers what is handed on, to nobody, and counts."""

    def __init__(
        self,
        engine: Engine,
        order: ShadowOrder,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._engine, self._order, self._clock = engine, order, clock
        self._lock = threading.Lock()
        self._result = ShadowResult()
        self._dropped_before = 0

    @property
    def result(self) -> ShadowResult:
        """What was found so far."""
        with self._lock:
            return self._result

    def listen(self, end: socket.socket) -> None:
        """Take what comes from one serving worker; a later one continues the count."""
        end.settimeout(None)
        self._dropped_before = self.result.dropped
        threading.Thread(target=self._read, args=(end,), name="shadow", daemon=True).start()

    def _read(self, end: socket.socket) -> None:
        with end, end.makefile("rb") as source:
            try:
                while line := source.readline(MAX_HEADER_BYTES):
                    handed = codec.decode(line, Handed, where="shadow")
                    self._try(handed, [_tensor(source, *kind) for kind in handed.tensors])
            except (OSError, ValueError, EdgeKitError) as error:
                logger.warning("shadow ended", extra={"fields": {"error": str(error)}})

    def _try(self, handed: Handed, tensors: list[Tensor]) -> None:
        inputs, outputs = tensors[: handed.inputs], tensors[handed.inputs :]
        try:
            answer = (
                self._engine.answer_raw(inputs[0]) if handed.raw else self._engine.answer(inputs)
            )
        except EdgeKitError:
            return self._count(ShadowResult(failed=1), handed)
        label = answer.top.label if answer.top is not None else ""
        agreed = agree(
            self._engine.manifest.postprocessing,
            self._order,
            ours=(label, answer.whole, answer.outputs),
            serving=(handed.label, handed.whole, outputs),
        )
        times = [max(s, MIN_LATENCY_S) for s in (answer.latency_s, handed.latency_s)]
        ratio = math.log(times[0] / times[1])
        found = ShadowResult(
            pairs=1, agreed=int(agreed), sum_log_ratio=ratio, sum_sq_log_ratio=ratio * ratio
        )
        return self._count(found, handed)

    def _count(self, found: ShadowResult, handed: Handed) -> None:
        with self._lock:
            new = self._dropped_before + handed.dropped - self._result.dropped
            self._result += found + ShadowResult(dropped=max(0, new))


def _tensor(source: BufferedReader, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """Read one tensor.

    Raises:
        FormatError: The other side ended within it.
    """
    kind = np.dtype(dtype)
    size = kind.itemsize * math.prod(shape)
    data = source.read(size)
    if len(data) != size:
        raise FormatError("ends within a tensor", where="shadow")
    tensor: Tensor = np.frombuffer(data, kind).reshape(shape)
    return tensor
