"""edgekit device diagnose --bundle: ask a device for its diagnose bundle, wait, write it."""

from __future__ import annotations

import time
from pathlib import Path

from edgekit.cli.output import say
from edgekit.client.http import FleetClient
from edgekit.client.wire.diagnoses import DiagnosisState
from edgekit.durable import write_durably
from edgekit.errors import NetworkError, RefusedError

LOOK_EVERY_S = 1.0


def collect(client: FleetClient, device: str, out: Path, *, within_s: float) -> None:
    """Ask, wait and write a file that only its owner may read.

    Raises:
        ConflictError: The device has been offline for long.
        RefusedError: The device could make no bundle.
        NetworkError: It did not answer in time; it is asked still.
        StorageError: The file cannot be written.
    """
    asked = client.ask_diagnosis(device)
    deadline_s = time.monotonic() + within_s
    while asked.state is DiagnosisState.WAITING:
        if time.monotonic() > deadline_s:
            raise NetworkError(
                f"has not answered within {within_s:.0f} s",
                where=device,
                todo="run the command again: the request stands for a week",
            )
        time.sleep(LOOK_EVERY_S)
        asked = client.diagnosis(device, asked.id)
    if asked.state is DiagnosisState.FAILED:
        raise RefusedError(f"could make no bundle: {asked.problem}", where=device)
    write_durably(out, client.diagnosis_bundle(device, asked.id), mode=0o600)
    say(f"{out}: {asked.size} bytes from {device}")
