"""Receivers of notifications: an Event Grid custom topic that takes CloudEvents, and a webhook.

They are as strict as the real ones about what they take, and keep it. `answers` makes one answer otherwise for a while.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from simulator.errors import AzureError, ConnectionLost
from simulator.tables import Reply
from simulator.wire import Json

TOPIC = "https://goldroll.uksouth-1.eventgrid.azure.net/api/events"
WEBHOOK = "https://hooks.example/workflows/1c2d/triggers/manual/paths/invoke?sig=s3cret-signature"

_MOST_BYTES = 1024 * 1024
_REQUIRED = ("id", "source", "type", "specversion")


@dataclass
class Receiver:
    """Something that is told of events at an address.

    `answers`: the status with which every request is refused, 0 to hang up, None to take what is right.
    `refuses` is a text; whatever holds it is refused with 400. `taken` are the bodies that it has taken, event by
    event.
    """

    address: str
    answers: int | None = None
    retry_after: int = 0
    refuses: str = ""
    calls: int = 0
    taken: list[Json] = field(default_factory=list)

    def handle(self, method: str, url: str, headers: Mapping[str, str], body: bytes | str) -> Reply:
        """Answer one request. Raises ConnectionLost when it hangs up."""
        self.calls += 1
        if self.answers == 0:
            raise ConnectionLost("Max retries exceeded")
        text = body.decode() if isinstance(body, bytes) else body
        known = {name.lower(): value for name, value in headers.items()}
        try:
            if self.answers is not None:
                raise AzureError(self.answers, "Refused", f"{url} is not to be told anything now.")
            if self.refuses and self.refuses in text:
                raise AzureError(400, "BadRequest", "The request is not valid.")
            if method != "POST":
                raise AzureError(405, "MethodNotAllowed", "Only POST is taken.")
            self._take(url, known, text)
        except AzureError as error:
            wait = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
            said = {"error": {"code": error.code, "message": error.message}}
            return Reply(error.status, json.dumps(said), {"Content-Type": "application/json", **wait})
        return self._accepted

    _accepted = Reply(202)

    def _take(self, url: str, headers: Mapping[str, str], text: str) -> None:
        if url != self.address:
            raise AzureError(401, "Unauthorized", "The signature is not that of this webhook.")
        if "authorization" in headers:
            raise AzureError(400, "BadRequest", "A token of Azure is nothing for a webhook.")
        if "application/cloudevents+json" in headers.get("content-type", ""):
            self.taken.append(_cloud_event(json.loads(text)))
        elif headers.get("content-type", "").startswith("application/json"):
            self.taken.append(json.loads(text))
        else:
            raise AzureError(415, "UnsupportedMediaType", "It is JSON that is taken.")


class Topic(Receiver):
    """An Event Grid topic whose input schema is CloudEvents, with local authentication off: keys are not taken."""

    _accepted = Reply(200)

    def _take(self, url: str, headers: Mapping[str, str], text: str) -> None:
        parts = urlsplit(url)
        is_local = parts.hostname in ("127.0.0.1", "localhost")
        if not (is_local or headers.get("authorization", "").startswith("Bearer ")):
            raise AzureError(401, "Unauthorized", "The request has no token.")
        if "api-version" not in parse_qs(parts.query):
            raise AzureError(400, "BadRequest", "The request has no api-version.")
        if not headers.get("content-type", "").startswith("application/cloudevents-batch+json"):
            raise AzureError(400, "BadRequest", "This topic takes CloudEvents 1.0.")
        if len(text.encode()) > _MOST_BYTES:
            raise AzureError(413, "PayloadTooLarge", "The maximum size of a request has been exceeded.")
        # All of a batch or nothing of it.
        self.taken += [_cloud_event(event) for event in json.loads(text)]


def _cloud_event(event: Json) -> Json:
    missing = [name for name in _REQUIRED if not isinstance(event.get(name), str) or not event[name]]
    if missing or event["specversion"] != "1.0":
        raise AzureError(400, "BadRequest", f"This is no CloudEvent: it lacks {', '.join(missing) or 'its version'}.")
    return event
