"""The listening sockets of a model: loopback TCP and a Unix socket, owned by the agent.

Workers inherit them, so that a swap of workers leaves the address open.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from pathlib import Path

from edgekit.errors import PortInUseError

logger = logging.getLogger(__name__)
HOST = "127.0.0.1"
BACKLOG = 128
WAIT_S = 3.0


class Listeners:
    """Sockets of one model, open until `close`."""

    def __init__(self, folder: Path, *, port: int) -> None:
        """Listen.

        Args:
            folder: Of the model; the port that was chosen and the Unix socket are kept there.
            port: Wanted TCP port; 0 takes the one used before, or any.

        Raises:
            PortInUseError: Another process has the wanted port.
        """
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        self.tcp = _tcp(port) if port else _any_tcp(folder / "port")
        self.path = folder / "infer.sock"
        self.unix = _unix_if_possible(self.path)

    @property
    def address(self) -> str:
        """HTTP address, such as "http://127.0.0.1:8731"."""
        return f"http://{HOST}:{self.tcp.getsockname()[1]}"

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors to hand to a worker."""
        return tuple(s.fileno() for s in (self.tcp, self.unix) if s is not None)

    def close(self) -> None:
        """Listen no more."""
        self.tcp.close()
        if self.unix is not None:
            self.unix.close()
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def _tcp(port: int, *, wait_s: float = WAIT_S) -> socket.socket:
    """Bind a port, waiting a little for workers of an agent that was killed to end."""
    deadline = time.monotonic() + wait_s
    while True:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if time.monotonic() >= deadline:
                raise PortInUseError(
                    "another process listens there", where=f"{HOST}:{port}"
                ) from error
            time.sleep(0.05)
        else:
            return listener


def _any_tcp(memory: Path) -> socket.socket:
    """Bind the port that was used before, so that clients find it again, or else any."""
    try:
        port = int(memory.read_text(encoding="ascii"))
        listener = _tcp(port)
    except (OSError, ValueError, OverflowError, PortInUseError):
        listener = _tcp(0)
    try:
        memory.write_text(str(listener.getsockname()[1]), encoding="ascii")
    except OSError as error:
        logger.warning("port not remembered", extra={"fields": {"error": str(error)}})
    return listener


def _unix_if_possible(path: Path) -> socket.socket | None:
    """Bind the Unix socket; a disk that takes no name leaves the TCP address."""
    try:
        return _unix(path)
    except OSError as error:
        logger.warning("no Unix socket", extra={"fields": {"error": str(error)}})
        return None


def _unix(path: Path) -> socket.socket:
    """Bind a Unix socket; through /proc, because its own path may exceed 107 bytes."""
    path.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o660)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener
