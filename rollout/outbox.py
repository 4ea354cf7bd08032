"""What a rollout still owes to those who are told of its events, and as what it travels.

There are three sinks: the record, an Event Grid topic and a webhook. Each has a list of its own of what it has not got
yet, so that an outage of one holds up neither the others nor the rollout. An event's number is given once, by its
orchestration, in whichever execution it is delivered: delivering it again writes the same row, and sends the same id.
What cannot be delivered stays here; more than a few events, and those of a rollout that has ended, are handed over to
an orchestration of their own, which goes on trying.
"""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, structs

from rollout.instance_ids import digest
from rollout.notifying import ONLY_NOTIFIED, is_notified
from rollout.recording import Event
from rollout.steps import StepError

RECORD, TOPIC, WEBHOOK = "record", "topic", "webhook"

MOST_AT_ONCE = 1000
"""Events that one activity is given: ten transactions of the record, a second or two."""

MOST_KEPT = {RECORD: 300, TOPIC: 100, WEBHOOK: 100}
"""Events that a rollout carries along when a sink is out of reach: packed they are about 10 kB, 3 kB and 3 kB."""

MOST_ATTEMPTS = 5
"""Failed attempts in a row, over half an hour, after which a rollout leaves it to others to deliver its events."""

MOST_REFUSALS = 5
"""Attempts after which a notification that a receiver refuses for good is given up."""

MOST_TRIES = 150
"""Attempts after which a notification is given up whatever the reason: three days, longer than a weekend. The record
is tried for as long as it takes."""

LONGEST_PAUSE = timedelta(minutes=30)

NUMBERS_PER_SECOND = 100_000
"""Numbers begin at the second in which the orchestration was started: one of the same id that is started anew goes on
behind the earlier one's."""

REFUSED = "NotificationRefused"
"""Code of an answer that will not change however often the same is sent."""


class Owed(Struct, frozen=True, omit_defaults=True):
    """What one sink has not got yet. `attempts` have failed in a row, and the next may follow at `retry_at`."""

    events: tuple[Event, ...] = ()
    attempts: int = 0
    retry_at: datetime | None = None


class Outbox(Struct, frozen=True, omit_defaults=True):
    """`next` numbers the next event; `owed` is what each sink has not got yet."""

    next: int
    owed: dict[str, Owed] = {}


class Batch(Struct, frozen=True, omit_defaults=True):
    """Events of one orchestration for one sink. `pool` is the host pool that all of them are about, "" for none."""

    rollout: str
    image: str
    version: str
    pool: str
    events: tuple[Event, ...]
    sink: str = RECORD


def begin(now: datetime) -> Outbox:
    """Of an orchestration that was started now."""
    return Outbox(int(now.timestamp()) * NUMBERS_PER_SECOND + 1)


def note(outbox: Outbox, events: tuple[Event, ...], sinks: Iterable[str], *, of_pool: bool) -> Outbox:
    """These sinks are to get the events, in this order, each what it wants of them."""
    if not events:
        return outbox
    numbered = tuple(structs.replace(event, number=outbox.next + place) for place, event in enumerate(events))
    owed = dict(outbox.owed)
    for sink in sinks:
        if wanted := tuple(event for event in numbered if _wants(sink, event, of_pool=of_pool)):
            before = owed.get(sink, Owed())
            owed[sink] = structs.replace(before, events=(*before.events, *wanted))
    return Outbox(outbox.next + len(events), owed)


def _wants(sink: str, event: Event, *, of_pool: bool) -> bool:
    return event.kind not in ONLY_NOTIFIED if sink == RECORD else is_notified(event, of_pool=of_pool)


def due(owed: Owed, now: datetime, sink: str) -> tuple[Event, ...]:
    """What a sink is to get now: the oldest events, none while a pause lasts."""
    if owed.retry_at is not None and owed.retry_at > now and not gives_up(owed, sink):
        return ()
    return owed.events[:MOST_AT_ONCE]


def gives_up(owed: Owed, sink: str) -> bool:
    """What is due is to be handed over: delivering has failed, and too often or for too many events."""
    too_many = len(owed.events) > MOST_KEPT[sink]
    return owed.attempts >= MOST_ATTEMPTS or (owed.attempts > 0 and too_many)


def delivered(owed: Owed, events: Collection[Event]) -> Owed:
    """The sink has got these, or they have been handed over."""
    gone = {event.number for event in events}
    return Owed(tuple(event for event in owed.events if event.number not in gone))


def failed(owed: Owed, left: Collection[Event], error: StepError | None, now: datetime, sink: str) -> Owed:
    """The sink could not be given those of its events that are `left`; whatever else was tried it has got.

    None: nobody knows why. Those that are refused for good, or have been tried for too long, are no longer owed: the
    record never refuses for good.
    """
    attempts = owed.attempts + 1
    is_refused = error is not None and error.code == REFUSED and attempts >= MOST_REFUSALS
    if sink != RECORD and (is_refused or attempts >= MOST_TRIES):
        return delivered(owed, left)
    wait = timedelta(seconds=error.retry_after if error is not None else 0)
    return structs.replace(owed, attempts=attempts, retry_at=now + max(pause(attempts), wait))


def pause(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts in a row: a minute at first, in the end half an hour."""
    return min(timedelta(minutes=2 ** min(attempts - 1, 10)), LONGEST_PAUSE)


def answered(
    owed: Owed, events: tuple[Event, ...], answer: Any, now: datetime, sink: str
) -> tuple[Owed, tuple[Event, ...]]:
    """What is owed after an activity's answer about these events (anything else when it died), and what is given up.

    An answer is `{"ok": true}`, `{"off": true}` or `{"error": ..., "left": [numbers]}`, of events that it could not
    deliver, all of them without `left`. `{"ok": true, "left": [...]}`: it had no time for these.
    """
    known = isinstance(answer, dict)
    numbers = {str(number) for number in answer.get("left") or ()} if known else set()
    left = tuple(event for event in events if str(event.number) in numbers)
    if known and answer.get("error") is None:
        return delivered(owed, [event for event in events if event not in left]), ()
    left = left or events
    got = {event.number for event in events} - {event.number for event in left}
    rest = structs.replace(owed, events=tuple(event for event in owed.events if event.number not in got))
    after = failed(rest, left, _error_in(answer), now, sink)
    lost = left if len(after.events) < len(rest.events) else ()
    return after, lost


def _error_in(answer: Any) -> StepError | None:
    try:
        return msgspec.convert(answer["error"], StepError)
    except (msgspec.ValidationError, KeyError, TypeError):
        return None


def keeper_instance(batch: Batch) -> str:
    """The orchestration that a batch is handed over to: the same batch always gets the same one."""
    return f"{batch.sink}-{digest(batch.rollout, 12)}-{batch.events[0].number}"


def pack(value: Outbox | Batch | tuple[Event, ...]) -> str:
    """A short text for `unpack_outbox`, `unpack_batch` or `unpack_events`."""
    return b64encode(zlib.compress(msgspec.json.encode(value))).decode("ascii")


class _Travelled(Struct):
    """An outbox as it arrives: of a rollout that an earlier version has started, with the record's events alone."""

    next: int
    owed: dict[str, Owed] = {}
    events: tuple[Event, ...] = ()
    attempts: int = 0
    retry_at: datetime | None = None


def unpack_outbox(text: str) -> Outbox:
    """What `pack` made a text of. Raises ValueError when the text is something else."""
    read: _Travelled = _unpacked(text, _Travelled)
    earlier = {RECORD: Owed(read.events, read.attempts, read.retry_at)} if read.events else {}
    return Outbox(read.next, {**earlier, **read.owed})


def unpack_batch(text: str) -> Batch:
    """As `unpack_outbox`, of a batch."""
    batch: Batch = _unpacked(text, Batch)
    return batch


def unpack_events(text: str) -> tuple[Event, ...]:
    """As `unpack_outbox`, of events."""
    events: tuple[Event, ...] = _unpacked(text, tuple[Event, ...])
    return events


def _unpacked(text: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(zlib.decompress(b64decode(text, validate=True)), type=kind)
    except (binascii.Error, zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"this is not what was to be delivered: {error}") from error
