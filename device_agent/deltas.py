"""A new bundle from a delta and a bundle that is here; whatever goes wrong, the whole one comes.

The delta is applied in another process, so that its memory goes back and nothing that a server
made up can take the agent down. The signed digest of the result decides.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

from device_agent.contacting import CancelledError, steering
from device_agent.context import Context
from device_agent.download import fetch_capped, sync_part
from device_agent.journal import Deployment
from device_agent.mirrors import fetch_whole
from device_agent.transport import Transport
from edgekit.bundle import file_digest
from edgekit.errors import EdgeKitError

logger = logging.getLogger(__name__)
APPLY_WITHIN_S = 300.0


def fetch_bundle(ctx: Context, wanted: Deployment, part: Path) -> None:
    """Get a bundle, by a delta or whole, over a connection of its own: the polls go on meanwhile.

    Raises:
        GoneError: The server no longer has it.
        NetworkError: It could not be had now; what came is kept.
        RefusedError: The server does not give it, or (CancelledError) wants no more of it.
        StorageError: There is no room.
        TrustError: Its bytes are not those that were signed.
        Stopped: The agent shall end.
    """
    transport = ctx.ddi.transport.another()
    try:
        if not part.exists() and fetch_delta(ctx, transport, wanted, part):
            return
        fetch_whole(transport, wanted, part, steering=lambda: steering(ctx, wanted))
    finally:
        transport.close()


def fetch_delta(ctx: Context, transport: Transport, wanted: Deployment, part: Path) -> bool:
    """Try to make the bundle from a delta; True if `part` is it, digest and all.

    Raises:
        CancelledError: The server wants no more of it.
        Stopped: The agent shall end.
    """
    slots = ctx.slots.of(wanted.model)
    base = next((b for b in wanted.deltas if slots.holds(b)), None)
    if base is None:
        return False
    delta = part.with_suffix(".delta.part")
    try:
        fetch_capped(
            transport, wanted.deltas[base], delta, limit=wanted.size, pause=steering(ctx, wanted)
        )
        size = delta.stat().st_size
        _apply(slots.bundle_path(base), delta, part, size=wanted.size)
        good = file_digest(part) == wanted.digest
        if good:
            sync_part(part)
    except CancelledError:
        raise
    except (EdgeKitError, OSError, subprocess.SubprocessError) as error:
        logger.warning("delta failed", extra={"fields": {"error": str(error)}})
        good = False
    finally:
        delta.unlink(missing_ok=True)
    if not good:
        part.unlink(missing_ok=True)
        return False
    logger.info("delta applied", extra={"fields": {"bytes": size, "whole": wanted.size}})
    return True


def _apply(base: Path, delta: Path, part: Path, *, size: int) -> None:
    subprocess.run(
        [sys.executable, "-m", "device_agent.deltas", str(base), str(delta), str(part), str(size)],
        check=True,
        capture_output=True,
        timeout=APPLY_WITHIN_S,
    )


def main(argv: list[str]) -> int:
    """Apply one delta: old bundle, delta, new bundle, its signed length."""
    from edgekit.delta import apply_delta

    base, delta, part = map(Path, argv[:3])
    data = apply_delta(base.read_bytes(), delta.read_bytes(), size=int(argv[3]))
    part.write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
