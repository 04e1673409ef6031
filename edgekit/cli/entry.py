"""The outermost function of the `edgekit` command: errors become one line and an exit code.

Imports no optional dependency, so that it can say which one is missing.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from edgekit.cli.plugins import extra_that_brings, own_requirements
from edgekit.errors import EdgeKitError, MissingExtraError

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
_NEEDED = frozenset({"typer", "rich", "yaml", "urllib3"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see edgekit.errors).

    Args:
        arguments: Without the program's name; None takes those of the process.
    """
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except EdgeKitError as error:
        sys.stderr.write(f"edgekit: {_one_line(error)}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # nobody reads: nothing is left to flush
        return 0
    except Exception:  # noqa: BLE001 (the last line of defence: a bug is shown whole, with its code)
        traceback.print_exc()
        sys.stderr.write("edgekit: this is a bug in EdgeKit, please report the lines above\n")
        return EXIT_BUG


def _run(arguments: list[str]) -> int:
    try:
        from edgekit.cli.app import run

        return run(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = "cli" if package in _NEEDED else extra_that_brings(package, own_requirements())
        if not extra:
            raise
        raise MissingExtraError(package, extra) from error


def _one_line(error: EdgeKitError) -> str:
    return " ".join(str(error).split())
