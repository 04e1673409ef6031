"""Calls about rollouts."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from edgekit.client.calls.base import API, Calls
from edgekit.client.wire.rollouts import DeploymentView, NewRollout, PlanRow, RolloutView


class RolloutCalls(Calls):
    """Calls about rollouts."""

    def create_rollout(self, rollout: NewRollout) -> RolloutView:
        """Start a rollout."""
        return self._connection.ask(RolloutView, "POST", f"{API}/rollouts", body=rollout)

    def plan_rollout(self, rollout: NewRollout) -> list[PlanRow]:
        """Return whom a rollout would reach; changes nothing."""
        return self._connection.ask(list[PlanRow], "POST", f"{API}/rollouts/plan", body=rollout)

    def rollouts(self) -> list[RolloutView]:
        """Return every rollout."""
        return list(self._paged(RolloutView, f"{API}/rollouts", lambda r: r.id))

    def rollout(self, rollout: str) -> RolloutView:
        """Return one rollout with everything that happened in it."""
        return self._connection.ask(RolloutView, "GET", _rollout(rollout))

    def deployments(self, rollout: str) -> list[DeploymentView]:
        """Return the devices of a rollout."""
        return self._connection.ask(list[DeploymentView], "GET", f"{_rollout(rollout)}/deployments")

    def pause(self, rollout: str) -> RolloutView:
        """Offer the release to nobody else until `resume`."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/pause")

    def resume(self, rollout: str) -> RolloutView:
        """Go on with a paused or held rollout."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/resume")

    def promote(self, rollout: str) -> RolloutView:
        """Go to the next stage without waiting for the gate."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/promote")

    def rollout_schema(self) -> dict[str, Any]:
        """Return the JSON schema of a rollout file."""
        return self._connection.ask(dict[str, Any], "GET", f"{API}/rollouts/schema")

    def approve(self, rollout: str) -> RolloutView:
        """Let the stage open that waits for a second person."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/approve")

    def retry_rollout(self, rollout: str) -> RolloutView:
        """Offer again, where the release failed, at most twice a device."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/retry")

    def abort(self, rollout: str) -> RolloutView:
        """Stop a rollout; devices that run the release go back."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/abort")


def _rollout(rollout: str) -> str:
    return f"{API}/rollouts/{quote(rollout, safe='')}"
