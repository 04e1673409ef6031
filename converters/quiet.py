"""Keeps what the conversion libraries say on the side away from the person who converts.

`quiet_python` is for the library: warnings and log records. `quiet_process` is for the command:
native code writes to the file descriptors, past Python. Errors are exceptions and pass through.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def quiet_python() -> Iterator[None]:
    """Suppress Python warnings and everything below an error in the log."""
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def quiet_process() -> Iterator[int]:
    """Send what this process writes to standard output and error nowhere.

    Yields:
        A file descriptor that still leads to standard error; the caller must not close it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = (os.dup(1), os.dup(2))
    with Path(os.devnull).open("wb") as sink:
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield kept[1]
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            for descriptor in kept:
                os.close(descriptor)
