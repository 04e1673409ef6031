"""Which 8-bit arithmetic suits the processors that a file is for. Pure.

x86 multiplies unsigned activations with signed weights. Without VNNI it adds two such products in
16 bits (VPMADDUBSW) and cuts what does not fit: 255 * 127 * 2 is beyond 32767, 255 * 64 * 2 is not,
so weights of 7 bits answer alike everywhere. ARM is fastest with signed activations.

Source: Intel 64 Architectures Software Developer's Manual, PMADDUBSW; onnxruntime's documentation
of `reduce_range`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

VNNI = "vnni"
_ARM = "neon"


class Arithmetic(StrEnum):
    """Activations, weights, and bits of the weights where it is not 8."""

    PORTABLE = "u8s8, 7-bit weights"
    U8S8 = "u8s8"
    S8S8 = "s8s8"


def arithmetic_for(kinds: Sequence[Collection[str]]) -> Arithmetic:
    """Return the arithmetic for kinds of devices.

    Args:
        kinds: Instruction sets of each kind of device; none means any device.
    """
    if kinds and all(VNNI in sets for sets in kinds):
        return Arithmetic.U8S8
    if kinds and all(_ARM in sets for sets in kinds):
        return Arithmetic.S8S8
    return Arithmetic.PORTABLE
