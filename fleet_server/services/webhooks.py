"""Webhooks: whoever is registered is told everything that happens to rollouts, signed, in order.

Each webhook has a cursor into the list of happenings, moved on after a 2xx: what is delivered is
delivered at least once, survives a kill of the server, and is never out of order. A receiver that
fails is asked again after a growing pause and keeps nobody else waiting.

Signature: header `EdgeKit-Signature: t=<unix seconds>,v1=<hex>` with HMAC-SHA256 by the webhook's
secret over `<t>.<body>`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from edgekit import codec
from edgekit.client.device_wire import NewWebhook, WebhookSecret, WebhookView
from edgekit.errors import NetworkError, UsageError
from fleet_server.services.errors import NotFoundError
from fleet_server.services.ports import Database
from fleet_server.services.records import HappeningRecord, WebhookRecord

logger = logging.getLogger(__name__)

SIGNATURE = "EdgeKit-Signature"
EVENT = "EdgeKit-Event"
_AT_ONCE = 20
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 3600.0


class Poster(Protocol):
    """HTTP outwards."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a body; returns the HTTP status."""
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
                    cursor=tables.webhooks.latest(),
                    due_at=now,
                )
            )
        return made

    def all(self) -> list[WebhookView]:
        """Return every webhook without its secret."""
        with self._database.read() as tables:
            return [
                WebhookView(id=w.id, url=w.url, failures=w.failures, problem=w.problem)
                for w in tables.webhooks.all()
            ]

    def drop(self, webhook_id: str) -> None:
        """Forget a webhook.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.write() as tables:
            if not tables.webhooks.drop(webhook_id):
                raise NotFoundError("there is no such webhook", where=webhook_id)

    def deliver(self, *, now: datetime) -> None:
        """Tell every webhook that is due what it has not been told yet, a few at a time."""
        with self._database.read() as tables:
            due = [w for w in tables.webhooks.all() if w.due_at <= now]
        for webhook in due:
            self._deliver_to(webhook, now=now)

    def _deliver_to(self, webhook: WebhookRecord, *, now: datetime) -> None:
        with self._database.read() as tables:
            waiting = tables.webhooks.after(webhook.cursor, limit=_AT_ONCE)
        after = webhook
        for number, rollout, happening in waiting:
            problem = self._tell(webhook, number, rollout, happening, now=now)
            if problem:
                after = _failed(after, problem, now=now)
                break
            after = replace(after, cursor=number, failures=0, problem="")
        if after != webhook:
            with self._database.write() as tables:
                known = {w.id for w in tables.webhooks.all()}
                if webhook.id in known:
                    tables.webhooks.put(after)

    def _tell(
        self,
        webhook: WebhookRecord,
        number: int,
        rollout: str,
        happening: HappeningRecord,
        *,
        now: datetime,
    ) -> str:
        """Post one happening; returns what went wrong, empty when nothing did."""
        body = codec.encode(
            {
                "id": number,
                "rollout": rollout,
                "kind": happening.kind,
                "stage": happening.stage,
                "at": happening.at.isoformat(),
                "text": happening.text,
                "body": happening.body,
            }
        )
        headers = {
            "Content-Type": "application/json",
            EVENT: happening.kind,
            SIGNATURE: signature(webhook.secret, body, at=int(now.timestamp())),
        }
        try:
            status = self._poster.post(webhook.url, body, headers)
        except NetworkError as error:
            return error.what
        return "" if 200 <= status < 300 else f"answers {status}"


def signature(secret: str, body: bytes, *, at: int) -> str:
    """Return the value of the signature's header.

    Args:
        secret: The webhook's.
        body: As it is sent.
        at: Unix seconds; receivers refuse what is older than a few minutes.
    """
    mac = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def _failed(webhook: WebhookRecord, problem: str, *, now: datetime) -> WebhookRecord:
    pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(webhook.failures, 20))
    fields = {"webhook": webhook.id, "problem": problem, "again_in_s": pause_s}
    logger.warning("webhook not delivered", extra={"fields": fields})
    return replace(
        webhook,
        failures=webhook.failures + 1,
        problem=problem[:200],
        due_at=now + timedelta(seconds=pause_s),
    )
