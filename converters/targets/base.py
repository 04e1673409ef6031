"""The seam between the pipeline and what a model can be lowered to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from converters.capture import Captured
from converters.quantize import Calibration, Recipe, Rung
from edgekit.device import RuntimeRange
from edgekit.manifest import ModelFormat
from edgekit.runtime.base import Tensor


class Target(Protocol):
    """A family of model files. A package adds one by the entry point group "edgekit.targets".

    It may also have `lowers(operator)`, asked by preflight, `saturating(model, inputs)`, asked by
    the cross-CPU check, and a true `chooses_arithmetic` if it heeds `Rung.arithmetic`.
    """

    @property
    def name(self) -> str:
        """First half of a variant's name, such as "onnx"."""

    @property
    def format(self) -> ModelFormat:
        """File format of its models."""

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """What it can make; the name of a variant is target, hyphen, recipe."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Distributions that take part, for the lineage."""

    def lower(self, captured: Captured, out: Path) -> None:
        """Write the float model file.

        The file holds no path and no trace of the machine that made it; equal sources give equal
        bytes.

        Raises:
            TargetError: It cannot express an operator; the message names it, and the line of the
                model's source where torch knows it.
            MissingExtraError: A library is not installed.
        """

    def quantize(
        self,
        model: Path,
        recipe: Recipe,
        rung: Rung,
        calibration: Calibration | None,
        out: Path,
    ) -> tuple[str, ...]:
        """Write the quantized form of a file that `lower` wrote.

        Args:
            model: The float file; what is learnt about it may be kept beside it for other rungs.
            recipe: What to make.
            rung: One of the recipe's ways.
            calibration: Samples for ranges; None where the recipe needs none.
            out: Where to.

        Returns:
            What a person should know about it, a line each, such as ranges that may be too narrow.

        Raises:
            TargetError: The model cannot be quantized.
        """

    def runtimes(self, model: Path, rung: Rung) -> tuple[RuntimeRange, ...]:
        """Return the runtimes that a file of this target is right on, and from which version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """What one operator of a file gives, where it can be looked at.

    Attributes:
        name: Of its first output.
        operator: Its kind, in the words of the format.
        tensor: The tensor to look at: the same, or what is left of it once it is stored in 8 bits.
    """

    name: str
    operator: str
    tensor: str


class Observer(Protocol):
    """Looks between the layers of a format's files; a module is one."""

    def spots(self, model: Path) -> Iterator[Spot]:
        """Yield the operators of a file in the order in which they run."""

    def values(
        self, model: Path, names: Sequence[str], samples: Iterable[list[Tensor]]
    ) -> Iterator[dict[str, Tensor]]:
        """Yield the real values of tensors by name, sample by sample."""
