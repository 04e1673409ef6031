"""Proves a variant at the smallest and the largest size of dimensions that may vary."""

from __future__ import annotations

from collections.abc import Mapping

from converters.capture import Captured, sizes, stretched
from converters.evaluate import check_parity, compare
from converters.plan import ConversionPlan
from converters.quantize.recipes import Limits
from converters.samples import Samples
from edgekit.errors import ParityError, RuntimeFailedError
from edgekit.runtime import Session, Tensor


def check_sizes(
    captured: Captured,
    session: Session,
    samples: Samples,
    plan: ConversionPlan,
    *,
    limits: Limits,
    where: str,
) -> None:
    """Compare source and variant where all sizes are smallest, and where all are largest.

    Raises:
        ParityError: The variant cannot be run there, or computes something else.
    """
    for end in (0, 1):
        wanted = {name: span[end] for name, span in captured.dynamic.items()}
        tensors = _inputs(captured, samples, plan, wanted)
        at = f"{where} at {', '.join(sizes(t.shape) for t in tensors)}"
        try:
            answers = session.run(tensors)
        except RuntimeFailedError as error:
            raise ParityError(f"cannot be run ({error.what})", where=at) from error
        reference = captured.reference(tensors)
        check_parity(
            compare(tuple(reference), tuple(answers), where=at, classes=False), limits, where=at
        )


def _inputs(
    captured: Captured, samples: Samples, plan: ConversionPlan, wanted: Mapping[str, int]
) -> list[Tensor]:
    """Return inputs of these sizes, put together from several samples."""
    count = min(len(samples), max(wanted.values()))
    rows = [samples.tensors(index, plan.preprocessing) for index in range(count)]
    columns = zip(*rows, strict=True)
    return [
        stretched(list(column), spec, wanted)
        if any(isinstance(size, str) for size in spec.shape)
        else column[0]
        for column, spec in zip(columns, captured.inputs, strict=True)
    ]
