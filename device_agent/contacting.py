"""Contact with the server: a poll with what it asks for, and a sign of life during long work."""

from __future__ import annotations

from collections.abc import Callable

from device_agent.context import Context
from device_agent.ddi import Poll, action_of
from device_agent.download import pause_s
from device_agent.following import follow_parameters
from device_agent.journal import Deployment
from device_agent.renewing import renew_token
from edgekit.errors import FormatError, NetworkError, RefusedError
from edgekit.machine import governor

SLOWEST_KB_S = 1.0
SLOW_FOR_S = 60.0
PATIENCE_S = 0.5


class CancelledError(RefusedError):
    """The server wants an end of what is being done; it has been told that it gets one."""


def contact(ctx: Context) -> Poll:
    """Poll once, and report attributes and profile where they are wanted."""
    answer = ctx.ddi.poll(ctx.supervisor.running())
    ctx.reached()
    ctx.contact.sleep_s = answer.sleep_s
    ctx.contact.next_poll_s = ctx.clock() + ctx.poll_interval_s()
    ctx.contact.telemetry_url = answer.telemetry
    ctx.contact.trust_url = answer.trust or ctx.identity.trust_url
    if answer.profile and not ctx.contact.profile_sent:
        ctx.ddi.put_profile(answer.profile, ctx.profile)
        ctx.contact.profile_sent = True
    if answer.token:
        renew_token(ctx, answer.token)
    if answer.diagnosis:
        ctx.diagnose(answer.diagnosis)
    if answer.config_data:
        own = {"arch": ctx.profile.arch, "agent": ctx.profile.agent_version}
        if mode := governor():
            own["power_mode"] = mode
        ctx.ddi.put_attributes(answer.config_data, {**own, **ctx.config.attributes})
    if answer.parameters:
        follow_parameters(ctx, answer.parameters)
    return answer


def heartbeat(ctx: Context, wanted: Deployment) -> None:
    """Poll when it is time, so that the server sees what runs; offers are left for later.

    Raises:
        CancelledError: The server wants no more of `wanted`.
    """
    if ctx.clock() < ctx.contact.next_poll_s:
        return
    if _cancelled(ctx, wanted):
        raise CancelledError("cancelled by the server", where=wanted.version)


def _cancelled(ctx: Context, wanted: Deployment) -> bool:
    try:
        answer = contact(ctx)
        if not answer.cancel or action_of(answer.cancel) != wanted.action:
            return False
        ctx.ddi.agree_to_cancel(answer.cancel)
    except (NetworkError, RefusedError, FormatError) as error:
        ctx.contact.next_poll_s = ctx.clock() + ctx.missed(error)
        return False
    return True


def steering(ctx: Context, wanted: Deployment) -> Callable[[int], None]:
    """Return what a download calls between its pieces: bandwidth, contact, signs of life.

    It raises CancelledError, Stopped, and NetworkError from a server that trickles.
    """
    started_s = ctx.clock()

    def pause(came: int) -> None:
        elapsed_s = ctx.clock() - started_s
        slowest = SLOWEST_KB_S if not ctx.config.download_kb_s else 0.0
        if elapsed_s > SLOW_FOR_S and came < 1000 * slowest * elapsed_s:
            raise NetworkError(f"only {came} bytes in {elapsed_s:.0f} s", where=wanted.url)
        heartbeat(ctx, wanted)
        limit = ctx.config.download_kb_s
        while (left_s := pause_s(came, ctx.clock() - started_s, limit_kb_s=limit)) > 0:
            ctx.wait(min(left_s, PATIENCE_S))
            heartbeat(ctx, wanted)

    return pause
