"""Whether held-out samples go beyond the ranges of activations that the others give. Pure.

Where they do, so will samples of the field: their values are clipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Ends: TypeAlias = tuple[float, float]

BEYOND = 0.1
"""Share of a range that only held-out samples reach, from which on a person is told.

Of 40 to 300 samples, a MNIST network and a ResNet-20 had at most 4 % (calibration in random order).
"""
_NAMED, _LONGEST = 3, 40


def exceeded(kept: Mapping[str, Ends], whole: Mapping[str, Ends]) -> tuple[str, ...]:
    """Return what to tell about tensors that held-out samples exceed: one line, or none.

    Args:
        kept: Smallest and largest value of each tensor over the samples that were not held out.
        whole: The same over all samples.
    """
    shares = {name: _only_held_out(kept[name], ends) for name, ends in whole.items()}
    worst = sorted((s for s in shares.items() if s[1] > BEYOND), key=lambda s: (-s[1], s[0]))
    if not worst:
        return ()
    named = ", ".join(f"{_short(name)} ({share:.0%})" for name, share in worst[:_NAMED])
    return (
        f"ranges may be too narrow: more than {BEYOND:.0%} of the range of {len(worst)} of "
        f"{len(shares)} tensors comes from every tenth sample, held out, alone: {named}; more "
        "samples would widen them",
    )


def _only_held_out(kept: Ends, whole: Ends) -> float:
    """Return the share of a range that only held-out samples reach, in [0, 1]."""
    width = whole[1] - whole[0]
    return 1 - (kept[1] - kept[0]) / width if width > 0 else 0.0


def _short(name: str) -> str:
    """Return the end of a name: those of TFLite tell the whole way to a layer."""
    return name if len(name) <= _LONGEST else f"...{name[-_LONGEST:]}"
