"""The agent on a device: installs safely, infers, tells the truth, goes back by itself.

Imports edgekit's core only. The agent's main process loads no inference runtime and no tuf: models
run in worker processes, trust is verified in a short-lived one. `from device_agent import Model`
is for other programs on the device; NumPy is imported only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_agent.model import Inference, Model

__all__ = ["Inference", "Model"]


def __getattr__(name: str) -> object:
    """Import the module when it is first asked for: the agent itself never does."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from device_agent import model

    return getattr(model, name)
