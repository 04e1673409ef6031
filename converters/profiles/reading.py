"""Reads device profiles from YAML: shipped ones by name, users' own by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from edgekit import codec
from edgekit.bench.measured import Measured
from edgekit.errors import FormatError, UsageError

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A kind of device.

    Attributes:
        name: Such as "raspberry-pi-5".
        arch: Machine name, such as "aarch64".
        runtimes: Name to version of the runtimes there.
        providers: Execution providers, in order of preference.
        instruction_sets: Extensions that matter to int8.
        max_opset: Newest ONNX operator set that its ONNX Runtime reads; 0 without one.
        max_ir: Newest ONNX file version that it reads.
        threads: Threads of an inference.
        memory_mb: Memory for models, MiB.
        targets: Variants that make sense there, the best first.
        operators: The only operators of ATen that run there, by name; empty when there is no list.
        preflight_only: Whether EdgeKit can only say what would not run there.
        unmeasured: What its author says; a measurement that was imported says otherwise.
        measured: Benchmarks from such a board, as `edgekit bench import` keeps them.
    """

    name: str
    arch: str
    runtimes: dict[str, str]
    providers: tuple[str, ...]
    targets: tuple[str, ...]
    instruction_sets: tuple[str, ...] = ()
    max_opset: int = 0
    max_ir: int = 0
    threads: int = 1
    memory_mb: int = 0
    operators: tuple[str, ...] = ()
    preflight_only: bool = False
    unmeasured: bool = True
    measured: tuple[Measured, ...] = ()

    @property
    def known(self) -> str:
        """Say for people what was measured on such a board."""
        if self.measured:
            latencies = ", ".join(f"{m.what} {m.median_ms:.3g} ms" for m in self.measured)
            return f"measured: {latencies}"
        return "unmeasured" if self.unmeasured else ""


def targets_of(profiles: Sequence[Profile]) -> tuple[str, ...]:
    """Return the variants that make sense on some kinds of devices, each once, in their order.

    Raises:
        UsageError: A kind is for preflight only.
    """
    for profile in profiles:
        if profile.preflight_only:
            raise UsageError(
                f"{profile.name} is for edgekit preflight only",
                where="--profile",
                todo="name variants with --target",
            )
    return tuple(dict.fromkeys(name for profile in profiles for name in profile.targets))


def shipped() -> tuple[str, ...]:
    """Return the names of the profiles that ship with EdgeKit."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def read_profile(text: str) -> Profile:
    """Return a shipped profile by name, or a user's own from a YAML file.

    Raises:
        UsageError: No such profile, not YAML, an unknown key, or a value of the wrong type.
    """
    path = Path(text) if text.endswith((".yaml", ".yml")) else _FOLDER / f"{text}.yaml"
    if not path.is_file():
        raise UsageError(
            f"{text!r} is no profile",
            where="--profile",
            todo=f"use {', '.join(shipped())} or a file",
        )
    try:
        decoded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError("is no YAML file", where=str(path)) from error
    if not isinstance(decoded, dict):
        raise UsageError("a profile is a mapping", where=str(path))
    unknown = sorted(str(key) for key in set(decoded) - {f.name for f in fields(Profile)})
    if unknown:
        raise UsageError(f"unknown key {', '.join(unknown)}", where=str(path))
    try:
        return codec.convert(decoded, Profile, where=str(path))
    except FormatError as error:
        raise UsageError(error.what, where=str(path)) from error
