"""The `edgekit` command: parse, one library call, print."""

from edgekit.cli.entry import main

__all__ = ["main"]
