"""What a rollout has yet to write into the record, and as what it travels.

Each event has a number that its orchestration gives it once, in whichever execution it is written: writing it again
writes the same row. Events that cannot be written stay here; more than a few of them, and those of a rollout that has
ended, are handed over to an orchestration of their own, which tries until they are written. So none is lost.
"""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, structs

from rollout.instance_ids import digest
from rollout.recording import Event

MOST_AT_ONCE = 1000
"""Events that one activity writes: ten transactions, a second or two."""

MOST_KEPT = 300
"""Events that a rollout carries along when the record cannot be written: packed they are about 10 kB."""

MOST_ATTEMPTS = 5
"""Failed attempts in a row, over half an hour, after which a rollout leaves it to others to write its events."""

LONGEST_PAUSE = timedelta(minutes=30)

NUMBERS_PER_SECOND = 100_000
"""Numbers begin at the second in which the orchestration was started: one of the same id that is started anew goes on
behind the earlier one's."""


class Unwritten(Struct, frozen=True, omit_defaults=True):
    """`next` numbers the next event; `attempts` have failed in a row, and the next may follow at `retry_at`."""

    next: int
    events: tuple[Event, ...] = ()
    attempts: int = 0
    retry_at: datetime | None = None


class Batch(Struct, frozen=True, omit_defaults=True):
    """Events of one orchestration for the record. `pool` is the host pool that all of them are about, "" for none."""

    rollout: str
    image: str
    version: str
    pool: str
    events: tuple[Event, ...]


def begin(now: datetime) -> Unwritten:
    """Of an orchestration that was started now."""
    return Unwritten(int(now.timestamp()) * NUMBERS_PER_SECOND + 1)


def note(unwritten: Unwritten, events: tuple[Event, ...]) -> Unwritten:
    """The events are to be written, in this order."""
    if not events:
        return unwritten
    numbered = tuple(structs.replace(event, number=unwritten.next + place) for place, event in enumerate(events))
    return structs.replace(unwritten, next=unwritten.next + len(events), events=(*unwritten.events, *numbered))


def due(unwritten: Unwritten, now: datetime) -> tuple[Event, ...]:
    """What to write now: the oldest events, none while a pause lasts."""
    if unwritten.retry_at is not None and unwritten.retry_at > now and not gives_up(unwritten):
        return ()
    return unwritten.events[:MOST_AT_ONCE]


def gives_up(unwritten: Unwritten) -> bool:
    """What is due is to be handed over: writing has failed, and too often or for too many events."""
    too_many = len(unwritten.events) > MOST_KEPT
    return unwritten.attempts >= MOST_ATTEMPTS or (unwritten.attempts > 0 and too_many)


def written(unwritten: Unwritten, events: tuple[Event, ...]) -> Unwritten:
    """These have been written, or handed over."""
    if not events:
        return unwritten
    left = tuple(event for event in unwritten.events if event.number > events[-1].number)
    return structs.replace(unwritten, events=left, attempts=0, retry_at=None)


def failed(unwritten: Unwritten, now: datetime) -> Unwritten:
    """They could not be written now."""
    attempts = unwritten.attempts + 1
    return structs.replace(unwritten, attempts=attempts, retry_at=now + pause(attempts))


def pause(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts in a row: a minute at first, in the end half an hour."""
    return min(timedelta(minutes=2 ** min(attempts - 1, 10)), LONGEST_PAUSE)


def keeper_instance(batch: Batch) -> str:
    """The orchestration that a batch is handed over to: the same batch always gets the same one."""
    return f"record-{digest(batch.rollout, 12)}-{batch.events[0].number}"


def pack(value: Unwritten | Batch | tuple[Event, ...]) -> str:
    """A short text for `unpack_unwritten`, `unpack_batch` or `unpack_events`."""
    return b64encode(zlib.compress(msgspec.json.encode(value))).decode("ascii")


def unpack_unwritten(text: str) -> Unwritten:
    """What `pack` made a text of. Raises ValueError when the text is something else."""
    unwritten: Unwritten = _unpacked(text, Unwritten)
    return unwritten


def unpack_batch(text: str) -> Batch:
    """As `unpack_unwritten`, of a batch."""
    batch: Batch = _unpacked(text, Batch)
    return batch


def unpack_events(text: str) -> tuple[Event, ...]:
    """As `unpack_unwritten`, of events."""
    events: tuple[Event, ...] = _unpacked(text, tuple[Event, ...])
    return events


def _unpacked(text: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(zlib.decompress(b64decode(text, validate=True)), type=kind)
    except (binascii.Error, zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"this is not what was to be recorded: {error}") from error
