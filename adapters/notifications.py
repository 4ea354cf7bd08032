"""Sends notifications: to an Event Grid topic, and to a webhook.

A webhook's address is a secret: no text of the network's libraries, which may hold it, leaves this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from adapters import notification_bodies as bodies
from adapters.connect import connection
from adapters.errors import StepFailed, retry_after_in, translated
from adapters.settings import Settings, SettingsError, read_settings
from rollout.notifying import is_loud_enough, notification_of
from rollout.outbox import REFUSED, TOPIC, WEBHOOK, Batch
from rollout.recording import Event
from rollout.steps import StepError

MOST_IN_REQUEST = 100
"""Events in one request to a topic, which takes 1 MB: an event here is below 4 kB."""

SECONDS_AT_ONCE = 10.0
"""After so long no further request is begun: a rollout's turn goes on when this is over."""

TOPIC_API = "2018-01-01"
"""The one version of the interface that topics have."""

TOPIC_CONTENT = "application/cloudevents-batch+json; charset=utf-8"

_REFUSES_EVENT = frozenset({400, 413, 415, 422})
_REFUSES_ALL = frozenset({404, 405, 410})

Clock = Callable[[], float]


class NotDelivered(StepFailed):
    """These events could not be delivered."""

    def __init__(self, error: StepError, left: Sequence[Event]) -> None:
        super().__init__(error)
        self.left = tuple(left)


class _Refused(Exception):
    """The receiver will never take what it was sent: `everything`, or just this."""

    def __init__(self, why: str, *, everything: bool) -> None:
        super().__init__(why)
        self.everything = everything


def sinks_in_use() -> tuple[str, ...]:
    """Who is told of notifications by the settings; a setting that cannot be used is told of elsewhere."""
    try:
        settings = read_settings()
    except SettingsError:
        return ()
    return tuple(sink for sink, is_set in ((TOPIC, settings.topic), (WEBHOOK, settings.webhook)) if is_set)


def send(batch: Batch, clock: Clock = time.monotonic) -> tuple[Event, ...] | None:
    """Give a sink these events, the oldest first; those for which there was no time. None: it has been switched off.

    Twice is harmless: an event keeps its id. Raises NotDelivered with all that have not arrived.
    """
    settings = read_settings()
    if batch.sink not in sinks_in_use():
        return None
    if batch.sink == TOPIC:
        return _send(batch.events, MOST_IN_REQUEST, _publisher(batch, settings), clock)
    wanted = tuple(event for event in batch.events if _is_for_webhook(batch, event, settings))
    return _send(wanted, 1, _poster(batch, settings), clock)


def _send(
    events: tuple[Event, ...], at_once: int, give: Callable[[Sequence[Event]], None], clock: Clock
) -> tuple[Event, ...]:
    """Give them all, group by group; a group of which something is refused is given in halves, to find out what."""
    ends_at = clock() + SECONDS_AT_ONCE
    groups = [events[first : first + at_once] for first in range(0, len(events), at_once)]
    refused: list[Event] = []
    why = ""
    while groups:
        if clock() >= ends_at:
            return _left(why, refused, groups)
        group = groups.pop(0)
        try:
            give(group)
        except StepFailed as failed:
            raise NotDelivered(failed.error, [*refused, *group, *_all(groups)]) from None
        except _Refused as refusal:
            why = str(refusal)
            if refusal.everything:
                raise NotDelivered(
                    StepError(REFUSED, why, retriable=False), [*refused, *group, *_all(groups)]
                ) from None
            if len(group) == 1:
                refused += group
            else:
                groups = [group[: len(group) // 2], group[len(group) // 2 :], *groups]
    return _left(why, refused, [])


def _left(why: str, refused: list[Event], groups: list[tuple[Event, ...]]) -> tuple[Event, ...]:
    """What there was no time for. Raises NotDelivered when something was refused and all else has been tried."""
    if refused and not groups:
        raise NotDelivered(StepError(REFUSED, why, retriable=False), refused)
    return (*refused, *_all(groups))


def _all(groups: list[tuple[Event, ...]]) -> Iterator[Event]:
    for group in groups:
        yield from group


def _is_for_webhook(batch: Batch, event: Event, settings: Settings) -> bool:
    told = notification_of(event, of_pool=bool(batch.pool))
    is_readable = settings.webhook_format == "cloudevents" or (
        told is not None and told.name not in bodies.FOR_MACHINES
    )
    return told is not None and is_readable and is_loud_enough(told.severity, settings.webhook_severity)


# -------------------------------------------------------------------------------------------------------- the topic


def _publisher(batch: Batch, settings: Settings) -> Callable[[Sequence[Event]], None]:
    from azure.core.exceptions import HttpResponseError
    from azure.core.rest import HttpRequest

    client = connection().topic(settings.topic)
    address = f"{settings.topic}?api-version={TOPIC_API}"

    def give(events: Sequence[Event]) -> None:
        sent = [bodies.cloud_event(batch, event, settings.app_url) for event in events]
        content = msgspec.json.encode(sent)
        request = HttpRequest("POST", address, headers={"Content-Type": TOPIC_CONTENT}, content=content)
        with translated():
            response = client.send_request(request)
            if response.status_code in _REFUSES_EVENT:
                raise _Refused(f"the topic answers {response.status_code}", everything=False)
            if response.status_code != 200:
                raise HttpResponseError(response=response)

    return give


# ------------------------------------------------------------------------------------------------------ the webhook


_BODIES: dict[str, tuple[Callable[[Batch, Event, str], dict[str, Any]], str]] = {
    "cloudevents": (bodies.cloud_event, "application/cloudevents+json; charset=utf-8"),
    "teams": (bodies.teams_message, "application/json; charset=utf-8"),
    "slack": (bodies.slack_message, "application/json; charset=utf-8"),
}


def _poster(batch: Batch, settings: Settings) -> Callable[[Sequence[Event]], None]:
    from azure.core.exceptions import AzureError
    from azure.core.rest import HttpRequest

    address = settings.webhook.value
    client = connection().webhook(address)
    body_of, content_type = _BODIES[settings.webhook_format]

    def give(events: Sequence[Event]) -> None:
        (event,) = events
        content = msgspec.json.encode(body_of(batch, event, settings.app_url))
        request = HttpRequest("POST", address, headers={"Content-Type": content_type}, content=content)
        try:
            response = client.send_request(request)
            status, headers = response.status_code, response.headers
        except AzureError as error:
            kind = type(error).__name__
            raise StepFailed(StepError("ConnectionLost", f"the webhook cannot be reached: {kind}")) from None
        if status in _REFUSES_EVENT or status in _REFUSES_ALL or 300 <= status < 400:
            raise _Refused(f"the webhook answers {status}", everything=status not in _REFUSES_EVENT)
        if status >= 300:
            wait = retry_after_in(headers)
            raise StepFailed(StepError(f"Http{status}", f"the webhook answers {status}", retry_after=wait))

    return give
