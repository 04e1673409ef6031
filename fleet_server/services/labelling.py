"""Labels that operators set: what may be one."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.errors import UsageError
from fleet_server.domain.selector import KEY, VALUE


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that no selector could name.

    Raises:
        UsageError: Names the label.
    """
    for key, value in labels.items():
        if not KEY.fullmatch(key) or not VALUE.fullmatch(value):
            raise UsageError(
                f"{key[:80]!r} cannot be a label with that value",
                todo="use letters, digits, '.', '_' and '-', up to 63",
            )
