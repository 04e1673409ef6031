"""Labels that operators set: what may be one."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.errors import UsageError
from fleet_server.domain.selector import KEY, VALUE

MAX_LABELS = 100


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that no selector could name.

    Raises:
        UsageError: Names the label; or there are too many.
    """
    if len(labels) > MAX_LABELS:
        raise UsageError(f"more than {MAX_LABELS} labels", todo="keep what selectors ask for")
    for key, value in labels.items():
        if not KEY.fullmatch(key) or not VALUE.fullmatch(value):
            raise UsageError(
                f"{key[:80]!r} cannot be a label with that value",
                todo="use letters, digits, '.', '_' and '-', up to 63",
            )
