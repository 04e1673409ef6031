"""Do other processors answer the same? int8 files recomputed as x86 without VNNI would: simulated.

A file whose simulated answers differ by more than its golden samples allow is for devices with VNNI
only; the device would refuse it anyway, by those samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.quantize import VNNI, Arithmetic, Rung
from converters.targets.base import Target
from edgekit.manifest import ModelFormat
from edgekit.runtime import Session, Tensor

Simulate = Callable[[Path, Sequence[list[Tensor]]], "list[list[Tensor]] | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What is known about other processors.

    Attributes:
        instruction_sets: What a device must have for the same answers; empty for any.
        note: For the person who converts; empty when there is nothing to say.
    """

    instruction_sets: tuple[str, ...] = ()
    note: str = ""


def of_rung(
    target: Target,
    rung: Rung,
    model: Path,
    session: Session,
    inputs: Sequence[list[Tensor]],
    *,
    atol: float,
    where: str,
) -> Elsewhere:
    """Check a file that a target made.

    A target that cannot simulate is trusted with weights of 7 bits and restricted with 8.

    Args:
        target: May have `saturating(model, inputs)`, which returns answers, or None for the same.
        rung: How the file was made.
        model: The file.
        session: It, loaded here.
        inputs: Of the golden samples.
        atol: What golden samples allow.
        where: The variant.
    """
    simulate: Simulate | None = getattr(target, "saturating", None)
    if simulate is not None:
        return compared(simulate, model, session, inputs, atol=atol, where=where)
    if rung.arithmetic is Arithmetic.U8S8:
        return Elsewhere(instruction_sets=(VNNI,), note=f"{where}: only for processors with VNNI")
    return Elsewhere()


def of_file(
    model_format: ModelFormat,
    model: Path,
    session: Session,
    inputs: Sequence[list[Tensor]],
    *,
    atol: float,
    where: str,
) -> Elsewhere:
    """Check a ready-made file; only ONNX files can be looked into."""
    if model_format is not ModelFormat.ONNX:
        return Elsewhere()
    from converters.targets.onnx_saturate import saturating_answers

    return compared(saturating_answers, model, session, inputs, atol=atol, where=where)


def compared(
    simulate: Simulate,
    model: Path,
    session: Session,
    inputs: Sequence[list[Tensor]],
    *,
    atol: float,
    where: str,
) -> Elsewhere:
    """Compare simulated answers with those of this machine."""
    simulated = simulate(model, inputs)
    if simulated is None:
        return Elsewhere()
    here = [session.run(tensors) for tensors in inputs]
    worst = max(
        float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0))
        for one, other in zip(here, simulated, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    told = f"{where}: answers with saturating sums (no VNNI; simulated) differ by {worst:.3g}"
    if worst <= atol:
        return Elsewhere(note=f"{told}, allowed {atol:.3g}")
    return Elsewhere(
        instruction_sets=(VNNI,),
        note=f"{told}, allowed {atol:.3g}: only for processors with VNNI",
    )
