"""Device profiles in YAML: what was measured on a board stands at their end.

Everything above the mark is the author's and stays as it was written, comments included; only the
word `unmeasured` goes.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from edgekit import codec
from edgekit.bench.measured import Measured, merged
from edgekit.errors import FormatError, StorageError

MARK = "# Written by: edgekit bench import\n"
MAX_BYTES = 1 << 20
_UNMEASURED = re.compile(r"^unmeasured:.*\n?", re.MULTILINE)


def import_measured(file: Path, new: tuple[Measured, ...]) -> tuple[Measured, ...]:
    """Put measurements into a profile, which may not exist yet; return all that it holds now.

    Raises:
        FormatError: The file is no profile.
        StorageError: It cannot be read or written.
    """
    text = _read(file)
    head, _, tail = text.partition(MARK)
    everything = merged(_parse(tail, str(file)), new)
    head = _UNMEASURED.sub("", head)
    if head and not head.endswith("\n"):
        head += "\n"
    block = yaml.safe_dump({"measured": codec.plain(everything)}, sort_keys=False)
    _write(file, head + MARK + block)
    return everything


def _read(file: Path) -> str:
    try:
        if not file.exists():
            return ""
        if file.stat().st_size > MAX_BYTES:
            raise FormatError("is too large for a profile", where=str(file))
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read ({error})", where=str(file)) from error


def _parse(tail: str, where: str) -> tuple[Measured, ...]:
    try:
        found = yaml.safe_load(tail) or {}
    except yaml.YAMLError as error:
        raise FormatError("is no YAML below the mark", where=where) from error
    measured = found.get("measured", []) if isinstance(found, dict) else found
    return codec.convert(measured, tuple[Measured, ...], where=where)


def _write(file: Path, text: str) -> None:
    part = file.with_name(file.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise StorageError(f"cannot write ({error.strerror})", where=str(file)) from error
