"""Imports what `edgekit[convert]` and its like bring, or says how to install it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgekit.errors import MissingExtraError


def need(module: str, extra: str = "convert") -> Any:  # noqa: ANN401 (untyped libraries)
    """Import a module of an extra.

    Raises:
        MissingExtraError: Its package is not installed; a missing import inside it passes through.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise
        raise MissingExtraError(package.replace("_", "-"), extra) from error


def tool_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the installed versions of distributions, leaving out what is absent."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
