"""Shows what a conversion is doing: a bar a variant on a screen, a line a step in a log.

A bar counts the step that runs, with the time that is left of it; steps that cannot tell how far
they are only show that they go on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from converters.quiet import quiet_process
from converters.steps import Step, Watch

_DOING = {
    Step.COLLECT: "collecting samples for calibration",
    Step.REUSED: "taking what an earlier run finished",
    Step.CAPTURE: "tracing the source",
    Step.LOWER: "lowering",
    Step.QUANTIZE: "quantizing",
    Step.CHECK: "proving",
    Step.PACKAGE: "packaging",
    Step.MEASURE: "measuring latency",
}


@contextmanager
def shown_progress(names: Sequence[str]) -> Iterator[Watch]:
    """Yield what shows progress on standard error, with the libraries kept quiet meanwhile.

    Args:
        names: Of what will be worked on, in order.
    """
    with (
        quiet_process() as descriptor,
        os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as stream,
    ):
        console = Console(file=stream)
        if not console.is_terminal:
            yield Lines(console)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            yield Bars(progress, names)


class Bars:
    """One bar for each thing that is worked on; it begins anew with each step."""

    def __init__(self, progress: Progress, names: Sequence[str]) -> None:
        """Show them waiting."""
        self._progress = progress
        self._steps: dict[str, Step] = {}
        self._bars = {name: self._bar(name) for name in names}

    def _bar(self, name: str) -> TaskID:
        return self._progress.add_task(f"{name}: waiting", start=False, total=None)

    def __call__(self, name: str, step: Step, done: float) -> None:
        """Show how much of a step is done, in [0, 1]."""
        if name not in self._bars:
            self._bars[name] = self._bar(name)
        bar = self._bars[name]
        if self._steps.get(name) is not step:
            self._steps[name] = step
            self._progress.reset(bar, description=f"{name}: {_DOING[step]}", total=None)
        if done > 0:
            self._progress.update(bar, completed=done, total=1.0)


class Lines:
    """One line a step, for a log or a pipe."""

    def __init__(self, console: Console) -> None:
        """Write to a console."""
        self._console = console
        self._last: tuple[str, Step] | None = None

    def __call__(self, name: str, step: Step, done: float) -> None:
        """Print what begins."""
        del done
        if self._last != (name, step):
            self._last = (name, step)
            self._console.print(f"{name}: {_DOING[step]}", highlight=False)
