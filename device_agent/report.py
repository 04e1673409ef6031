"""A status as lines for people. Pure."""

from __future__ import annotations

from device_agent.status import ModelStatus, Status
from edgekit.machine import Probe


def lines(status: Status) -> list[str]:
    """Return the status, a fact a line."""
    agent = f"runs (pid {status.agent_pid})" if status.agent_pid else "does not run"
    text = [
        f"device   {status.device_id} at {status.server}",
        f"agent    {agent}",
        f"update   {status.state}" + (f" {status.version}" if status.version else ""),
    ]
    if status.last is not None:
        last = status.last
        why = f" ({last.reason}: {last.message})" if last.reason else ""
        text.append(f"last     {last.version} {last.outcome}{why}")
    if status.contact_error:
        text.append(f"server   not reached: {status.contact_error}")
    text += [f"model    {name} {_model(model)}" for name, model in sorted(status.models.items())]
    if status.spool is not None:
        spool = status.spool
        text.append(
            f"spool    {spool.waiting} waiting, {spool.windows} windows and"
            f" {spool.inferences} inferences recorded, {spool.dropped} dropped"
        )
    if status.machine is not None and (said := _machine(status.machine)):
        text.append(f"machine  {said}")
    return text


def _machine(machine: Probe) -> str:
    """Return what the machine tells; empty when it tells nothing."""
    parts = []
    if machine.temperature_c is not None:
        parts.append(f"{machine.temperature_c:.1f} °C")
    if machine.frequency_mhz is not None:
        parts.append(f"{machine.frequency_mhz:.0f} MHz")
    if machine.governor:
        parts.append(f"power mode {machine.governor}")
    if machine.throttled:
        parts.append("throttled now")
    if machine.throttle_count is not None:
        parts.append(f"throttled {machine.throttle_count} times since boot")
    return ", ".join(parts)


def _model(model: ModelStatus) -> str:
    if not model.serving:
        return "does not answer"
    set_ = f", parameters {model.parameters_version}" if model.parameters_version else ""
    set_ += f" refused: {model.parameters_refused}" if model.parameters_refused else ""
    return (
        f"{model.version} {model.variant} {model.digest[:12]} {model.mode}"
        f" at {model.address} (pid {model.worker_pid}){set_}"
    )
