"""Calls that watch over a server, stop it, and keep it tidy."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from edgekit.client.calls.base import API, Calls
from edgekit.client.wire.events import (
    AlarmView,
    CallAgain,
    DeliveryView,
    EventView,
    NewWebhook,
    WebhookSecret,
    WebhookView,
)
from edgekit.client.wire.garbage import GarbageView
from edgekit.client.wire.server import FreezeView


class KeepingCalls(Calls):
    """Calls that watch over a server, stop it, and keep it tidy."""

    def freeze(self, reason: str = "") -> FreezeView:
        """Stop every offer of the fleet."""
        return self._connection.ask(
            FreezeView, "PUT", f"{API}/freeze", body=FreezeView(frozen=True, reason=reason)
        )

    def unfreeze(self) -> FreezeView:
        """Offer again."""
        body = FreezeView(frozen=False)
        return self._connection.ask(FreezeView, "PUT", f"{API}/freeze", body=body)

    def frozen(self) -> FreezeView:
        """Return whether offers are stopped."""
        return self._connection.ask(FreezeView, "GET", f"{API}/freeze")

    def garbage(self) -> GarbageView:
        """Return what nobody needs any more; changes nothing."""
        return self._connection.ask(GarbageView, "GET", f"{API}/garbage")

    def collect_garbage(self) -> GarbageView:
        """Take away what nobody needs any more; returns what went."""
        return self._connection.ask(GarbageView, "POST", f"{API}/garbage")

    def events(
        self, *, device: str = "", before: int | None = None, limit: int = 100
    ) -> list[EventView]:
        """Return what happened, newest first.

        Args:
            device: Only what is about this device.
            before: Only events with a smaller number.
            limit: At most so many, up to 1000.
        """
        query: dict[str, str | int] = {"limit": limit, "device": device}
        if before is not None:
            query["before"] = before
        return self._connection.ask(list[EventView], "GET", f"{API}/events", query=query)

    def alarms(self) -> list[AlarmView]:
        """Return every alarm that is not over, oldest first."""
        return self._connection.ask(list[AlarmView], "GET", f"{API}/alarms")

    def add_webhook(self, url: str, kinds: Sequence[str] = ()) -> WebhookSecret:
        """Register an address that is told what happens; its secret comes once.

        Args:
            url: An http or https address.
            kinds: Kinds of events; empty for every one.
        """
        body = NewWebhook(url=url, kinds=tuple(kinds))
        return self._connection.ask(WebhookSecret, "POST", f"{API}/webhooks", body=body)

    def webhooks(self) -> list[WebhookView]:
        """Return every webhook."""
        return self._connection.ask(list[WebhookView], "GET", f"{API}/webhooks")

    def drop_webhook(self, webhook: str) -> None:
        """Forget a webhook."""
        self._connection.ask(dict[str, str], "DELETE", _webhook(webhook))

    def webhook_calls(self, webhook: str) -> list[DeliveryView]:
        """Return the latest calls of a webhook, newest first."""
        return self._connection.ask(list[DeliveryView], "GET", f"{_webhook(webhook)}/calls")

    def call_webhook_again(self, webhook: str, *, after: int | None = None) -> WebhookView:
        """Call a webhook now; with `after`, tell it everything behind that event once more."""
        body = CallAgain(after=after)
        return self._connection.ask(WebhookView, "POST", f"{_webhook(webhook)}/again", body=body)


def _webhook(webhook: str) -> str:
    return f"{API}/webhooks/{quote(webhook, safe='')}"
