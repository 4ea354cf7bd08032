"""Notifications as what is sent: CloudEvents for machines, messages for people in Teams and Slack.

Names and reasons come from people: in a message they are text and never markup, a link or a mention.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from rollout.notifying import OF_RETIREMENT, REPLACEMENT_ENDED, REPLACEMENT_STARTED, Notification, notification_of
from rollout.outbox import Batch
from rollout.recording import Event

_SYMBOLS = {"info": "\N{WHITE HEAVY CHECK MARK}", "warning": "\N{WARNING SIGN}", "error": "\N{CROSS MARK}"}
_COLOURS = {"info": "Good", "warning": "Warning", "error": "Attention"}

FOR_MACHINES = frozenset({REPLACEMENT_STARTED, REPLACEMENT_ENDED})
"""What nobody reads in a chat."""


def cloud_event(batch: Batch, event: Event, app_url: str) -> dict[str, Any]:
    """The CloudEvent (1.0) of an event that somebody is told of. The same event always has the same `id` and `source`.

    `subject` is a VM's resource id where one is meant, else the host pool, or the image.
    """
    told = _told(batch, event)
    is_retirement = event.kind in OF_RETIREMENT
    data = {
        "rollout": "" if is_retirement else batch.rollout.partition(":")[0],
        "image": batch.image,
        "version": batch.version,
        "ring": event.ring,
        "pool": event.pool or batch.pool,
        "host": event.host,
        "resourceId": event.resource,
        "phase": event.phase,
        "reason": event.reason,
        "severity": told.severity,
        "message": event.message,
        "by": event.by,
        "at": event.at.isoformat(),
        "links": links(batch, event, app_url),
    }
    return {
        "specversion": "1.0",
        "id": str(event.number),
        "source": f"/goldroll/{'retirements' if is_retirement else 'rollouts'}/{quote(batch.rollout, safe='')}",
        "type": f"Goldroll.{told.name}",
        "subject": event.resource
        or f"{'pools' if batch.pool else 'images'}/{quote(batch.pool or batch.image, safe='')}",
        "time": event.at.isoformat(),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in data.items() if value},
    }


def links(batch: Batch, event: Event, app_url: str) -> dict[str, str]:
    """Where to look, and for what is asked of people where to answer. To follow a link changes nothing."""
    if not app_url:
        return {}
    page = f"{app_url}/api/dashboard"
    if event.kind not in OF_RETIREMENT:
        page += f"?rollout={quote(batch.rollout.partition(':')[0], safe='')}"
    asks = event.kind == "ApprovalAsked"
    return {"page": page, **({"approve": page, "reject": page} if asks else {})}


def teams_message(batch: Batch, event: Event, app_url: str) -> dict[str, Any]:
    """The message that a Workflows webhook of Teams takes: one Adaptive Card."""
    told = _told(batch, event)
    facts = [{"title": title, "value": _for_teams(value)} for title, value in _facts(batch, event)]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {
                "type": "TextBlock",
                "text": _spaced(told.name),
                "weight": "Bolder",
                "size": "Medium",
                "color": _COLOURS[told.severity],
                "wrap": True,
            },
            {"type": "TextBlock", "text": _for_teams(event.message), "wrap": True},
            {"type": "FactSet", "facts": facts},
        ],
        "actions": [
            {"type": "Action.OpenUrl", "title": title, "url": url} for title, url in _buttons(batch, event, app_url)
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def slack_message(batch: Batch, event: Event, app_url: str) -> dict[str, Any]:
    """The message that an incoming webhook of Slack takes: blocks, and a text for notifications."""
    told = _told(batch, event)
    title = f"{_SYMBOLS[told.severity]} {_spaced(told.name)}"
    fields = [
        {"type": "plain_text", "text": _cut(f"{name}: {value}", 2000), "emoji": False}
        for name, value in _facts(batch, event)
    ]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}},
        {"type": "section", "text": {"type": "plain_text", "text": _cut(event.message, 3000), "emoji": False}},
        {"type": "section", "fields": fields},
    ]
    if buttons := _buttons(batch, event, app_url):
        elements = [
            {"type": "button", "text": {"type": "plain_text", "text": text}, "url": url} for text, url in buttons
        ]
        blocks.append({"type": "actions", "elements": elements})
    # Slack reads markup in this one text, whatever the blocks say.
    return {"text": _for_slack(f"{_spaced(told.name)}: {event.message}"), "mrkdwn": False, "blocks": blocks}


def _told(batch: Batch, event: Event) -> Notification:
    told = notification_of(event, of_pool=bool(batch.pool))
    if told is None:
        raise ValueError(f"nobody is told of {event.kind}")
    return told


def _facts(batch: Batch, event: Event) -> list[tuple[str, str]]:
    facts = {
        "Image": f"{batch.image} {batch.version}".strip(),
        "Ring": event.ring,
        "Host pool": event.pool or batch.pool,
        "Host": event.host,
        "Reason": event.reason,
        "By": event.by,
        "At": f"{event.at:%Y-%m-%d %H:%M} UTC",
    }
    return [(title, value) for title, value in facts.items() if value]


def _buttons(batch: Batch, event: Event, app_url: str) -> list[tuple[str, str]]:
    known = links(batch, event, app_url)
    return [("Approve or reject" if "approve" in known else "Open Goldroll", known["page"])] if known else []


def _spaced(name: str) -> str:
    """ "RolloutStarted" as "Rollout started"."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f" {found[1].lower()}", name)


def _for_teams(text: str) -> str:
    """Text in which an Adaptive Card finds no Markdown, no line of a list and no `{{DATE(...)}}`.

    A backslash keeps a character from meaning something, and a word joiner keeps an address from becoming a link.
    """
    text = re.sub(r"([\\`*_\[\]()~#>|!-])", r"\\\1", " ".join(text.split()))
    text = text.replace("{{", "{\N{WORD JOINER}{").replace("://", ":\N{WORD JOINER}//")
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"^(\d+)\.", r"\1\\.", text).replace("www.", "www\N{WORD JOINER}.")


def _for_slack(text: str) -> str:
    """Text in which Slack finds no link and no mention: these need the three characters that are replaced."""
    return _cut(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), 3000)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
