"""Which benchmarks there are: the modules here with a `run(short)`. Measures nothing."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import benchmarks
from edgekit.bench import Result


def _nothing(_condition: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One question that can be measured.

    Attributes:
        name: Of the module.
        question: First sentence of its docstring.
        how: The rest of it: what is compared, with what, on what.
        run: Measures; True asks for the short form.
        alone: Why it runs only when it is named (`ONLY_BY_NAME` of the module); empty when it
            belongs to every run.
        left_out: Says of a row's condition whether the run was not asked for it, so that the row
            of an earlier run stands (`left_out` of the module).
    """

    name: str
    question: str
    how: str
    run: Callable[[bool], list[Result]]
    alone: str = ""
    left_out: Callable[[str], bool] = _nothing


def discover() -> tuple[Benchmark, ...]:
    """Return every benchmark, by name."""
    names = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    found = (benchmark(name) for name in sorted(names) if not name.startswith("__"))
    return tuple(one for one in found if one is not None)


def benchmark(name: str) -> Benchmark | None:
    """Return one by name; None where the module asks no question."""
    module = importlib.import_module(f"benchmarks.{name}")
    run = getattr(module, "run", None)
    if not callable(run) or "short" not in inspect.signature(run).parameters:
        return None
    question, how = _told(module)
    return Benchmark(
        name=name,
        question=question,
        how=how,
        run=run,
        alone=getattr(module, "ONLY_BY_NAME", ""),
        left_out=getattr(module, "left_out", _nothing),
    )


def _told(module: ModuleType) -> tuple[str, str]:
    question, _, how = (inspect.getdoc(module) or module.__name__).partition("\n\n")
    return " ".join(question.split()), how
