"""How many threads torch computes with: one, where single samples are asked or trained on.

Layers of one sample are too small to be worth a meeting of threads, and on a busy machine each
layer waits for the slowest of them: MobileNetV2 took 10 times as long on two threads as on one.
Sums also come out the same on machines of any number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from converters.extras import need


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread of this process."""
    torch = need("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
