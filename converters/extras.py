"""Imports what `edgekit[convert]` brings, or says how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from edgekit.errors import MissingExtraError


def need(module: str) -> Any:  # noqa: ANN401 (untyped libraries)
    """Import a module of the extra `convert`.

    Raises:
        MissingExtraError: Its package is not installed; a missing import inside it passes through.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise
        raise MissingExtraError(package.replace("_", "-"), "convert") from error
