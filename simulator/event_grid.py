"""Event Grid: the events that announce image versions, in both schemas, and their delivery to a webhook."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import heappop, heappush
from itertools import count

from simulator import ids
from simulator.galleries import Announcement
from simulator.machine_bodies import TENANT
from simulator.wire import Json, desktop_time

RETRY_SECONDS = (10, 30, 60, 300, 600, 1800, 3600, 10800, 21600)
"""Waits between attempts; after the last of them every 12 hours (facts 1.5)."""

_THEN_EVERY = 43200
_GIVEN_UP_AT = frozenset({400, 401, 403, 413})
_TEMPLATE_WRITE = "Microsoft.Resources/deployments/write"


class Schema(StrEnum):
    """The schemas a subscription can choose from."""

    EVENT_GRID = "EventGridSchema"
    CLOUD_EVENTS = "CloudEventSchemaV1_0"


def events_of(announcement: Announcement, *, by_template: bool = False) -> list[Json]:
    """The events, in Event Grid's own schema, that a change of a version causes.

    A template deployment causes two with one correlation id: the deployment's, then the version's.
    """
    version = _resource_event(announcement, announcement.version_id, announcement.operation, announcement.id)
    if not by_template:
        return [version]
    parts = ids.parse(announcement.version_id)
    deployment = (
        f"/subscriptions/{parts.subscription}/resourceGroups/{parts.group}/providers/Microsoft.Resources"
        f"/deployments/publish-{parts.name}"
    )
    event_id = str(uuid.uuid5(uuid.UUID(announcement.id), "deployment"))
    return [_resource_event(announcement, deployment, _TEMPLATE_WRITE, event_id), version]


def as_cloud_event(event: Json) -> Json:
    """The same event as a CloudEvent 1.0 (facts 1.3)."""
    return {
        "specversion": "1.0",
        "id": event["id"],
        "source": event["topic"],
        "subject": event["subject"],
        "type": event["eventType"],
        "time": event["eventTime"],
        "data": event["data"],
    }


def validation_event(code: str, at: datetime) -> Json:
    """The event with which a new webhook subscription is tried out; the answer must echo the code (facts 1.6)."""
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, code)),
        "topic": "/subscriptions/00000000-0000-0000-0000-000000000000",
        "subject": "",
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": desktop_time(at),
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": {"validationCode": code, "validationUrl": f"https://eventgrid.example/validate?id={code}"},
    }


@dataclass(slots=True)
class Delivery:
    """One POST to a webhook: its body and headers, how often it has been tried, and when it was given up."""

    id: str
    body: Json | list[Json]
    headers: dict[str, str]
    first_at: datetime
    attempts: int = 0
    dead_at: datetime | None = None
    outcomes: list[int] = field(default_factory=list)


class Subscription:
    """A webhook's subscription: knows what is due, and what the webhook's answer means.

    It does no I/O itself: take what is `due`, post it, and tell `answered` the status (0 for no answer at all).
    Delivery is at least once; `duplicates` is the share of events delivered a second time although they arrived.
    """

    def __init__(
        self,
        schema: Schema = Schema.EVENT_GRID,
        *,
        by_template: bool = False,
        max_attempts: int = 30,
        time_to_live: timedelta = timedelta(hours=24),
        duplicates: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._schema = schema
        self._by_template = by_template
        self._max_attempts = max_attempts
        self._time_to_live = time_to_live
        self._duplicates = duplicates
        self._rng = random.Random(f"{seed}/event grid")
        self._waiting: list[tuple[datetime, int, Delivery]] = []
        self._serial = count()
        self.delivered = 0
        self.dead_letters: list[Delivery] = []

    def announce(self, announcement: Announcement) -> None:
        """Queue what the change causes, one POST for each event."""
        for event in events_of(announcement, by_template=self._by_template):
            self._wait(self._delivery(event, announcement.at), announcement.at)

    def next_due(self) -> datetime | None:
        """When the next attempt is due, or None when nothing waits."""
        return self._waiting[0][0] if self._waiting else None

    def due(self, now: datetime) -> list[Delivery]:
        """Take everything that is to be posted by now, in the order in which it became due."""
        taken = []
        while self._waiting and self._waiting[0][0] <= now:
            taken.append(heappop(self._waiting)[2])
        return taken

    def answered(self, delivery: Delivery, status: int, now: datetime) -> None:
        """Note the webhook's answer: done, to be tried again, or dead."""
        delivery.attempts += 1
        delivery.outcomes.append(status)
        if 200 <= status <= 204:
            self.delivered += 1
            if self._duplicates and self._rng.random() < self._duplicates:
                self._wait(delivery, now + timedelta(seconds=RETRY_SECONDS[0]))
            return
        given_up = status in _GIVEN_UP_AT or delivery.attempts >= self._max_attempts
        if given_up or now - delivery.first_at >= self._time_to_live:
            delivery.dead_at = now
            self.dead_letters.append(delivery)
            return
        tried = delivery.attempts - 1
        wait = RETRY_SECONDS[tried] if tried < len(RETRY_SECONDS) else _THEN_EVERY
        self._wait(delivery, now + timedelta(seconds=wait))

    def _delivery(self, event: Json, at: datetime) -> Delivery:
        if self._schema is Schema.CLOUD_EVENTS:
            headers = {"Content-Type": "application/cloudevents+json; charset=utf-8", "aeg-event-type": "Notification"}
            return Delivery(event["id"], as_cloud_event(event), headers, at)
        headers = {"Content-Type": "application/json; charset=utf-8", "aeg-event-type": "Notification"}
        return Delivery(event["id"], [event], headers, at)

    def _wait(self, delivery: Delivery, until: datetime) -> None:
        heappush(self._waiting, (until, next(self._serial), delivery))


def _resource_event(announcement: Announcement, resource_id: str, operation: str, event_id: str) -> Json:
    """A resource event; it carries who and what, but not the resource itself (facts 1.2)."""
    parts = ids.parse(resource_id)
    verb = "Delete" if announcement.method == "DELETE" else "Write"
    data: Json = {
        "authorization": {
            "scope": resource_id,
            "action": operation,
            "evidence": {"role": "Contributor", "principalType": "ServicePrincipal"},
        },
        "claims": {"aud": "https://management.core.windows.net/", "iss": f"https://sts.windows.net/{TENANT}/"},
        "correlationId": announcement.correlation_id,
        "resourceProvider": parts.provider,
        "resourceUri": resource_id,
        "operationName": operation,
        "status": "Succeeded",
        "subscriptionId": parts.subscription,
        "tenantId": TENANT,
    }
    if announcement.method != "PUT":  # documented only for changes of what exists already
        data["httpRequest"] = {
            "clientRequestId": announcement.correlation_id,
            "clientIpAddress": "192.0.2.1",
            "method": announcement.method,
            "url": f"https://management.azure.com{resource_id}?api-version=2026-03-03",
        }
    return {
        "id": event_id,
        "topic": f"/subscriptions/{parts.subscription}",
        "subject": resource_id.replace("/resourceGroups/", "/resourcegroups/"),
        "eventType": f"Microsoft.Resources.Resource{verb}Success",
        "eventTime": desktop_time(announcement.at),
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": data,
    }
