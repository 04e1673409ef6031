"""One way to load and run a model file, whatever runtime does the work.

What was validated at conversion is what runs on the device and what is benchmarked: all three use
these adapters. The runtimes themselves are imported when a session is opened, never before.
"""

from edgekit.runtime.base import FloatArray, Runtime, Session, Tensor
from edgekit.runtime.profile import OperatorTime, Profiler
from edgekit.runtime.registry import available_runtimes, open_session, runtime_for

__all__ = [
    "FloatArray",
    "OperatorTime",
    "Profiler",
    "Runtime",
    "Session",
    "Tensor",
    "available_runtimes",
    "open_session",
    "runtime_for",
]
