"""What a device can run, what a variant needs, and whether the two fit.

`fits` serves both sides; `pick_variant` is the server's. Pure: reads no machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, TypeVar

MAX_WORDS = 256
MAX_WORD_CHARS = 128
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeRange:
    """Versions of one runtime that a variant was proven for.

    Attributes:
        name: "onnxruntime", "litert", "tflite-runtime" or "openvino".
        minimum: Lowest version, inclusive, such as "1.20".
    """

    name: str
    minimum: str = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a device needs to run a variant.

    Attributes:
        runtimes: Any one of these is enough.
        instruction_sets: All of these, such as "vnni"; empty when any CPU will do.
        memory_mb: Memory for the model and its activations, MiB.
        preference: Among variants that fit, the highest is picked; ties by name.
        agent: Lowest version of the agent, inclusive; empty when any will do.
    """

    runtimes: tuple[RuntimeRange, ...]
    instruction_sets: tuple[str, ...] = ()
    memory_mb: int = 0
    preference: int = 0
    agent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """What a device says it can run.

    Attributes:
        runtimes: Name to version of every runtime that works there.
        arch: Machine name, such as "x86_64" or "aarch64".
        instruction_sets: Extensions that matter to int8, such as "avx2", "vnni", "dotprod".
        providers: Execution providers, in order of preference.
        memory_mb: Memory of the device, MiB.
        cpu_count: Cores.
        agent_version: Version of the agent.
        features: Bundle features that the agent understands.
    """

    runtimes: dict[str, str]
    arch: str
    instruction_sets: tuple[str, ...] = ()
    providers: tuple[str, ...] = ("cpu",)
    memory_mb: int = 0
    cpu_count: int = 1
    agent_version: str = "0"
    features: tuple[str, ...] = field(default=())

    @property
    def is_sound(self) -> bool:
        """Whether a device can be so: few and short words, possible numbers."""
        words = (
            self.arch,
            self.agent_version,
            *self.runtimes,
            *self.runtimes.values(),
            *self.instruction_sets,
            *self.providers,
            *self.features,
        )
        return (
            len(words) <= MAX_WORDS
            and all(len(word) <= MAX_WORD_CHARS for word in words)
            and all(0 <= number < 1 << 31 for number in (self.memory_mb, self.cpu_count))
        )


def mismatch(requires: Requirements, profile: DeviceProfile) -> str:
    """Return why a variant does not fit a device, as a clause; empty when it fits."""
    if version_key(profile.agent_version) < version_key(requires.agent):
        return f"needs agent >= {requires.agent}, the device has {profile.agent_version}"
    if not any(_runtime_fits(wanted, profile) for wanted in requires.runtimes):
        wanted = " or ".join(f"{r.name} >= {r.minimum}" for r in requires.runtimes)
        have = ", ".join(f"{n} {v}" for n, v in sorted(profile.runtimes.items())) or "none"
        return f"needs {wanted}, the device has {have}"
    missing = [s for s in requires.instruction_sets if s not in profile.instruction_sets]
    if missing:
        return f"needs the instruction sets {', '.join(missing)}"
    if profile.memory_mb and requires.memory_mb > profile.memory_mb:
        return f"needs {requires.memory_mb} MiB, the device has {profile.memory_mb}"
    return ""


def fits(requires: Requirements, profile: DeviceProfile) -> bool:
    """Say whether a variant with these requirements runs on a device with this profile."""
    return not mismatch(requires, profile)


class VariantLike(Protocol):
    """Anything that has a variant's name and requirements."""

    @property
    def variant(self) -> str:
        """Name of the variant."""

    @property
    def requires(self) -> Requirements:
        """What a device needs to run it."""


V = TypeVar("V", bound=VariantLike)


def pick_variant(variants: Iterable[V], profile: DeviceProfile) -> V | None:
    """Return the variant for a device: the most preferred that fits, ties by name; None if none.

    The server decides; a device only checks `fits`, because two deciders of different versions
    would send each other in circles.
    """
    fitting = [v for v in variants if fits(v.requires, profile)]
    return min(fitting, key=lambda v: (-v.requires.preference, v.variant), default=None)


@lru_cache(maxsize=1024)
def version_key(version: str) -> tuple[int, ...]:
    """Return the numbers of a dotted version for comparing: "1.10" is above "1.9".

    Anything after the first part that is not a number is ignored ("2.13.0+cpu" is 2, 13, 0), and
    so are digits of a part beyond the eighteenth.
    """
    numbers: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits[:_MAX_DIGITS]))
        if digits != part:
            break
    return tuple(numbers)


def _runtime_fits(wanted: RuntimeRange, profile: DeviceProfile) -> bool:
    have = profile.runtimes.get(wanted.name)
    return have is not None and version_key(have) >= version_key(wanted.minimum)
