"""One logging set-up for every process: an event and its fields, as text or as JSON.

`logger.info("bundle activated", extra={"fields": {"model": "digits"}})` becomes
`... INFO device_agent.steps: bundle activated model=digits`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_OURS = ("edgekit", "converters", "device_agent", "fleet_server")
_around: ContextVar[dict[str, object] | None] = ContextVar("edgekit_log_fields", default=None)


@contextmanager
def context(**fields: object) -> Iterator[None]:
    """Add fields to every event that is logged inside, in threads started from it too."""
    token = _around.set({**(_around.get() or {}), **fields})
    try:
        yield
    finally:
        _around.reset(token)


def set_up(*, level: str = "INFO", as_json: bool = False) -> None:
    """Send the log of this process to standard error.

    Args:
        level: Lowest level that is written; of other people's libraries INFO at the least, because
            what they say in detail may hold credentials.
        as_json: One JSON object a line instead of text.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if as_json else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    least = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(least, logging.INFO))
    for package in _OURS:
        logging.getLogger(package).setLevel(least)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", {})
    return {**(fields if isinstance(fields, dict) else {}), **(_around.get() or {})}


def _stamp(record: logging.LogRecord) -> str:
    return (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z"
    )


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={value}" for key, value in _fields(record).items())
        line = f"{_stamp(record)} {record.levelname} {record.name}: {record.getMessage()}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)
