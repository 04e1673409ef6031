"""Telling systemd that the agent works: READY, WATCHDOG, STATUS over NOTIFY_SOCKET."""

from __future__ import annotations

import contextlib
import socket


def notify(address: str, message: str) -> None:
    """Send one message; without an address, or with nobody there, nothing happens.

    Args:
        address: Value of NOTIFY_SOCKET: a path, or "@" and an abstract name.
        message: Such as "READY=1".

    Source: sd_notify(3).
    """
    if not address:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.send(message.encode())
