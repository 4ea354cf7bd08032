"""Reads the events that announce image versions, in Event Grid's schema and as CloudEvents; trusts nothing in them."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.wire import at, text
from rollout.model import is_marketplace, version_number

LONGEST_EVENT = 1024 * 1024
"""Characters. Event Grid delivers no larger event."""

_WRITE = "microsoft.compute/galleries/images/versions/write"

_ANNOUNCING_TYPES = frozenset(
    {
        "microsoft.resources.resourcewritesuccess",
        "microsoft.resourcenotifications.resources.createdorupdated",
    }
)


class ImagePublished(msgspec.Struct, frozen=True):
    """A gallery image version was written: created, or changed since. `version_id` is its resource id as it came."""

    version_id: str
    event_id: str


class Ignored(msgspec.Struct, frozen=True):
    """The event is in order and about something else."""

    why: str


class Malformed(msgspec.Struct, frozen=True):
    """The text is no event. Delivering it again would not help."""

    why: str


def read_event(raw: str) -> ImagePublished | Ignored | Malformed:
    """Read the JSON of one event. Never raises, whatever the text is."""
    if len(raw) > LONGEST_EVENT:
        return Malformed(f"{len(raw)} characters are more than an event may have")
    try:
        event: Any = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Malformed("not JSON")
    if not isinstance(event, dict):
        return Malformed("not a JSON object")
    kind = text(event, "type") or text(event, "eventType")
    if not kind:
        return Malformed("it has no type")
    if kind.lower() not in _ANNOUNCING_TYPES:
        return Ignored(f"events of type {kind[:100]} announce no image version")
    return _about(event)


def _about(event: Any) -> ImagePublished | Ignored | Malformed:
    subject = text(event, "subject") or text(event, "data", "resourceUri")
    if not subject:
        return Malformed("it does not say what it is about")
    operation = at(event, "data", "operationName")
    if isinstance(operation, str) and operation.lower() != _WRITE:
        return Ignored(f"operation {operation[:100]} publishes no image version")
    if version_number(subject) is None or is_marketplace(subject):
        return Ignored(f"{subject[:300]} is not a gallery image version")
    return ImagePublished(version_id=subject, event_id=text(event, "id")[:100])
