"""The numbers and names of the trust layout: lifetimes, role names, target paths.

Holds no keys and does no input or output.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from edgekit.errors import UsageError

ROOT: Final = "root"
TARGETS: Final = "targets"
SNAPSHOT: Final = "snapshot"
TIMESTAMP: Final = "timestamp"
TOP_LEVEL: Final = frozenset({ROOT, TARGETS, SNAPSHOT, TIMESTAMP})

ROOT_LIFETIME: Final = timedelta(days=365)
TARGETS_LIFETIME: Final = timedelta(days=365)
MODEL_LIFETIME: Final = timedelta(days=60)
SNAPSHOT_LIFETIME: Final = timedelta(days=7)
TIMESTAMP_LIFETIME: Final = timedelta(days=2)

# Fields of our own inside signed metadata; TUF clients that do not know them ignore them.
SIGNED_AT: Final = "edgekit_signed_at"
PREVIOUS: Final = "edgekit_previous"

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PATH_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")


def check_model_name(model: str) -> str:
    """Return `model` if it can name a role, a file and a path component.

    Raises:
        UsageError: It holds other characters than letters, digits, '.', '_' and '-', is longer
            than 64, or is one of the four top-level role names.
    """
    if not _MODEL_NAME.fullmatch(model) or model in TOP_LEVEL:
        raise UsageError(
            f"{model!r} cannot name a model",
            todo="use letters, digits, '.', '_' and '-', up to 64, and no role name of TUF",
        )
    return model


def bundle_path(*, model: str, version: str, variant: str) -> str:
    """Return the target path of one bundle: `models/<model>/<version>/<variant>.bundle`.

    Raises:
        UsageError: A part holds characters that a path component or a pattern must not hold.
    """
    check_model_name(model)
    for part in (version, variant):
        if not _PATH_PART.fullmatch(part):
            raise UsageError(f"{part!r} cannot stand in the path of a bundle")
    return f"models/{model}/{version}/{variant}.bundle"


def model_pattern(model: str) -> str:
    """Return the path pattern that the key of `model` may sign for.

    A `*` in TUF stops at '/', hence one for the version and one for the variant.
    Source: TUF specification 1.0, section 4.5, PATHPATTERN.
    """
    return f"models/{check_model_name(model)}/*/*"
