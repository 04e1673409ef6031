"""Follow a rollout until it ends: what changed, each time that something did.

Prints nothing. The clock is the caller's: waiting is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgekit.client.http import FleetClient
from edgekit.client.wire.rollouts import RolloutView
from edgekit.errors import NetworkError

FINISHED = "finished"
HELD = "held"
STOPPED = frozenset({"rolled_back", "aborted"})
ENDED = STOPPED | {FINISHED}


def watch_rollout(
    client: FleetClient,
    rollout: str,
    *,
    wait: Callable[[float], None],
    interval_s: float = 1.0,
    patience: int = 60,
) -> Iterator[RolloutView]:
    """Yield a rollout at once and after every change, until it ends or is held.

    Args:
        client: Server to ask.
        rollout: Id of the rollout.
        wait: Sleeps for some seconds.
        interval_s: Time between two questions, seconds.
        patience: Questions in a row that may stay without an answer.

    Raises:
        NetworkError: The server did not answer `patience` times in a row.
    """
    seen: RolloutView | None = None
    silent = 0
    while seen is None or seen.phase not in ENDED | {HELD}:
        if seen is not None:
            wait(interval_s)
        try:
            now = client.rollout(rollout)
        except NetworkError:
            silent += 1
            if seen is None or silent >= patience:
                raise
            continue
        silent = 0
        if now != seen:
            seen = now
            yield now


def exit_code(view: RolloutView) -> int:
    """Return 0 for finished, 1 for rolled back or aborted, 3 for anything undecided."""
    if view.phase == FINISHED:
        return 0
    return 1 if view.phase in STOPPED else 3
