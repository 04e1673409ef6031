"""Webhooks: whoever is registered is told every event that it wants, signed, in order.

Each webhook has a cursor into the list of events, moved on after a 2xx: what is delivered is
delivered at least once, survives a kill of the server, and is never out of order. A receiver that
fails is asked again after a growing pause; each call is written down. Webhooks are called beside
each other, and beside the steps of rollouts.

Signature: header `EdgeKit-Signature: t=<unix seconds>,v1=<hex>` with HMAC-SHA256 by the webhook's
secret over `<t>.<body>`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from edgekit import codec
from edgekit.client.wire.events import (
    DeliveryView,
    NewWebhook,
    WebhookSecret,
    WebhookView,
)
from edgekit.errors import UsageError
from fleet_server.services.errors import NotFoundError
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.events import DeliveryRecord, EventRecord, WebhookRecord

logger = logging.getLogger(__name__)

SIGNATURE = "EdgeKit-Signature"
EVENT = "EdgeKit-Event"
MAX_CALLS = 500
_AT_ONCE = 20
_BESIDE = 8
_ROUND_MS = 2000.0
"""A receiver that needs longer for its events of one round gets the rest in the next."""
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 3600.0
_CALLS_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What came of a call.

    Attributes:
        status: Of HTTP; 0 when nothing was answered.
        took_ms: How long it took.
        problem: Why nothing was answered; empty otherwise.
    """

    status: int
    took_ms: float
    problem: str = ""


class Poster(Protocol):
    """HTTP outwards."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Send a body; never raises for a receiver that does not answer."""
        ...


class WebhookService:
    """Registers webhooks and delivers to them."""

    def __init__(self, database: Database, poster: Poster) -> None:
        self._database = database
        self._poster = poster

    def add(self, wanted: NewWebhook, *, now: datetime) -> WebhookSecret:
        """Register an address; it is told what happens from now on. The secret is shown once.

        Raises:
            UsageError: It is no http or https address.
        """
        parts = urlsplit(wanted.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError("is no http or https address", where=wanted.url[:200])
        made = WebhookSecret(id=secrets.token_hex(8), secret=secrets.token_urlsafe(32))
        with self._database.write() as tables:
            tables.webhooks.put(
                WebhookRecord(
                    id=made.id,
                    url=wanted.url,
                    secret=made.secret,
                    cursor=tables.events.latest(),
                    due_at=now,
                    kinds=tuple(sorted(set(wanted.kinds))),
                )
            )
        return made

    def all(self) -> list[WebhookView]:
        """Return every webhook without its secret."""
        with self._database.read() as tables:
            return [_view(webhook) for webhook in tables.webhooks.all()]

    def drop(self, webhook_id: str) -> None:
        """Forget a webhook.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.write() as tables:
            if not tables.webhooks.drop(webhook_id):
                raise NotFoundError("there is no such webhook", where=webhook_id)

    def calls(self, webhook_id: str) -> list[DeliveryView]:
        """Return the latest calls of a webhook, newest first.

        Raises:
            NotFoundError: There is no such webhook.
        """
        with self._database.read() as tables:
            _existing(tables, webhook_id)
            found = tables.webhooks.calls(webhook_id, limit=MAX_CALLS)
        return [
            DeliveryView(
                event=call.event,
                at=call.at.isoformat(),
                took_ms=call.took_ms,
                status=call.status,
                problem=call.problem,
            )
            for call in found
        ]

    def again(self, webhook_id: str, *, after: int | None, now: datetime) -> WebhookView:
        """Call a webhook now, whatever its pause says.

        Args:
            webhook_id: The webhook.
            after: Number of the event behind which it is told everything once more; None goes on.
            now: Current time, UTC.

        Raises:
            NotFoundError: There is no such webhook.
        """
        with self._database.write() as tables:
            webhook = _existing(tables, webhook_id)
            cursor = webhook.cursor if after is None else min(after, webhook.cursor)
            webhook = replace(webhook, due_at=now, failures=0, cursor=max(0, cursor))
            tables.webhooks.put(webhook)
        return _view(webhook)

    def forget(self, *, now: datetime) -> None:
        """Forget old calls."""
        with self._database.write() as tables:
            tables.webhooks.forget_calls_before(now - _CALLS_KEPT)

    def deliver(self, *, now: datetime) -> None:
        """Tell every webhook that is due what it has not been told yet, a few at a time."""
        with self._database.read() as tables:
            due = [w for w in tables.webhooks.all() if _is_due(w, now)]
            latest = tables.events.latest()
        due = [webhook for webhook in due if webhook.cursor < latest]
        if due:
            with ThreadPoolExecutor(min(_BESIDE, len(due)), thread_name_prefix="hook") as pool:
                list(pool.map(lambda webhook: self._deliver_to(webhook, now=now), due))

    def _deliver_to(self, webhook: WebhookRecord, *, now: datetime) -> None:
        with self._database.read() as tables:
            waiting = tables.events.after(webhook.cursor, limit=_AT_ONCE)
        after, calls = webhook, list[DeliveryRecord]()
        for event in waiting:
            if not webhook.kinds or event.kind in webhook.kinds:
                call = self._call(webhook, event, now=now)
                calls.append(call)
                if call.problem:
                    after = _failed(after, call.problem, now=now)
                    break
            after = replace(after, cursor=event.id, failures=0, problem="")
            if sum(call.took_ms for call in calls) > _ROUND_MS:
                break
        with self._database.write() as tables:
            if tables.webhooks.get(webhook.id) == webhook:  # nobody dropped or changed it
                tables.webhooks.put(after)
                tables.webhooks.called(calls)

    def _call(self, webhook: WebhookRecord, event: EventRecord, *, now: datetime) -> DeliveryRecord:
        body = codec.encode(
            {
                "id": event.id,
                "kind": event.kind,
                "at": event.at.isoformat(),
                "text": event.text,
                "device": event.device,
                "model": event.model,
                "version": event.version,
                "rollout": event.rollout,
                "stage": event.stage,
                "by": event.by,
                "body": event.body,
            }
        )
        headers = {
            "Content-Type": "application/json",
            EVENT: event.kind,
            SIGNATURE: signature(webhook.secret, body, at=int(now.timestamp())),
        }
        posted = self._poster.post(webhook.url, body, headers)
        fine = 200 <= posted.status < 300
        problem = "" if fine else posted.problem or f"answers {posted.status}"
        return DeliveryRecord(
            webhook=webhook.id,
            event=event.id,
            at=now,
            took_ms=posted.took_ms,
            status=posted.status,
            problem=problem[:200],
        )


def signature(secret: str, body: bytes, *, at: int) -> str:
    """Return the value of the signature's header.

    Args:
        secret: The webhook's.
        body: As it is sent.
        at: Unix seconds; receivers refuse what is older than a few minutes.
    """
    mac = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def _is_due(webhook: WebhookRecord, now: datetime) -> bool:
    """Whether its pause is over; a longer one than any is of a clock that was ahead."""
    return not timedelta() < webhook.due_at - now <= timedelta(seconds=_LONGEST_PAUSE_S)


def _failed(webhook: WebhookRecord, problem: str, *, now: datetime) -> WebhookRecord:
    pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(webhook.failures, 20))
    fields = {"webhook": webhook.id, "problem": problem, "again_in_s": pause_s}
    logger.warning("webhook not delivered", extra={"fields": fields})
    return replace(
        webhook,
        failures=webhook.failures + 1,
        problem=problem,
        due_at=now + timedelta(seconds=pause_s),
    )


def _existing(tables: Tables, webhook_id: str) -> WebhookRecord:
    webhook = tables.webhooks.get(webhook_id)
    if webhook is None:
        raise NotFoundError("there is no such webhook", where=webhook_id)
    return webhook


def _view(webhook: WebhookRecord) -> WebhookView:
    return WebhookView(
        id=webhook.id,
        url=webhook.url,
        failures=webhook.failures,
        problem=webhook.problem,
        kinds=webhook.kinds,
        told=webhook.cursor,
    )
