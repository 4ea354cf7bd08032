"""What the log says regularly of each rollout that runs: that it goes on, or what somebody should look into.

Alerts look for these lines, so a rollout that stands still is found whatever the others do, and also when its own
orchestration says nothing any more. Pure data and functions; `now` is aware UTC.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from rollout.capacity import RESERVE_TOO_SMALL
from rollout.gate_views import spoken_span
from rollout.gates import AskedApproval
from rollout.model import Phase
from rollout.status import ImageStatus, PoolStatus

IDLE_FOR = timedelta(hours=24)
"""Of work without a host that came further. What depends on people repeats every day; after one all of it was tried."""

SILENT_FOR = timedelta(hours=1)
"""After the time when a rollout was to go on, or when its pool was read last. Azure may ask for half an hour."""

NO_ROOM_FOR = timedelta(hours=1)
"""Since Azure has refused a new host. By then it has been asked four times."""

EXPIRES_WITHIN = timedelta(hours=4)
"""Before the end of an approval's deadline; of a deadline shorter than twice that, its second half."""

POOL_IN_USE = "PoolInUse"
"""Reason of a rollout that waits until another one is through with its host pool."""

LONGEST_MESSAGE = 300
"""Characters of the rollout's own message: the rest is in its status."""


class Standing(StrEnum):
    """The words of the lines that alerts look for, and the one of a rollout of which nothing need be said."""

    STUCK = "is stuck"
    NO_ROOM = "has no room"
    EXPIRES = "waits for an approval"
    GOES_ON = "goes on"


class Watched(Struct, frozen=True):
    """A running orchestration of a rollout or of one of its host pools, as Durable lists it.

    `status` is its custom status, whatever it is. `created` and `updated` are None where Durable does not tell.
    """

    id: str
    is_pool: bool
    status: Any
    created: datetime | None
    updated: datetime | None


class WatchLine(Struct, frozen=True):
    """One line: `rollout <id> <standing>: <why>; <phase>: <message>`. An id has no spaces."""

    standing: Standing
    text: str


def watch_line(watched: Watched, now: datetime) -> WatchLine:
    """The line about one rollout. Never raises, whatever its status is."""
    try:
        if watched.status is None:
            return _line(watched, *_not_begun(watched, now))
        if watched.is_pool:
            pool = msgspec.convert(watched.status, PoolStatus)
            done = f"{pool.counts.current + pool.counts.set_aside} of {pool.desired} hosts are done"
            return _line(watched, *_of_pool(pool, watched.updated, now), f"{pool.phase}, {done}: {pool.message}")
        image = msgspec.convert(watched.status, ImageStatus)
        return _line(watched, *_of_image(image, now), f"{image.phase}: {image.message}")
    except (msgspec.ValidationError, TypeError, OverflowError) as error:  # also times without a zone, and huge spans
        return _line(watched, *_unreadable(watched, now), f"its status cannot be read: {error}")


def _line(watched: Watched, standing: Standing, why: str, message: str = "") -> WatchLine:
    told = "; ".join(part for part in (why, " ".join(message.split())[:LONGEST_MESSAGE]) if part)
    return WatchLine(standing, f"rollout {watched.id} {standing}: {told}")


def _of_pool(status: PoolStatus, updated: datetime | None, now: datetime) -> tuple[Standing, str]:
    expected = status.next or updated
    if expected is not None and now - expected >= SILENT_FOR:
        return Standing.STUCK, f"it was to go on {_ago(expected, now)}, and has not"
    if status.seen is not None and now - status.seen >= SILENT_FOR:
        return Standing.STUCK, f"its host pool was read last {_ago(status.seen, now)}"
    idle = timedelta(seconds=status.idle)
    if idle >= IDLE_FOR:
        return Standing.STUCK, f"in {spoken_span(idle)} of work no host has come further"
    if status.seen is None:
        begun = status.since if status.reason != POOL_IN_USE else None
        if begun is not None and now - begun >= SILENT_FOR:
            return Standing.STUCK, f"it began {_ago(begun, now)}, and its host pool could not be read once"
        return Standing.GOES_ON, "its host pool has not been read yet"
    waits_for_room = status.phase is Phase.WAITING_CAPACITY and status.reason != RESERVE_TOO_SMALL
    if waits_for_room and status.blocked is not None and now - status.blocked >= NO_ROOM_FOR:
        return Standing.NO_ROOM, f"Azure has made no new host for {spoken_span(now - status.blocked)}"
    return Standing.GOES_ON, f"a host came further {spoken_span(idle)} of work ago"


def _of_image(status: ImageStatus, now: datetime) -> tuple[Standing, str]:
    if status.next is not None and now - status.next >= SILENT_FOR:
        return Standing.STUCK, f"it was to go on {_ago(status.next, now)}, and has not"
    if status.asked is not None and status.asked.until is not None and _expires_soon(status.asked, now):
        left = spoken_span(max(status.asked.until - now, timedelta()))
        return Standing.EXPIRES, f"{left} are left to answer about ring {status.asked.ring}"
    return Standing.GOES_ON, ""


def _expires_soon(asked: AskedApproval, now: datetime) -> bool:
    until = asked.until or now
    return until - now <= min(EXPIRES_WITHIN, (until - asked.since) / 2)


def _not_begun(watched: Watched, now: datetime) -> tuple[Standing, str]:
    if watched.created is not None and now - watched.created >= SILENT_FOR:
        return Standing.STUCK, f"it was started {_ago(watched.created, now)} and has not begun"
    return Standing.GOES_ON, "it is about to begin"


def _unreadable(watched: Watched, now: datetime) -> tuple[Standing, str]:
    if watched.updated is not None and now - watched.updated >= SILENT_FOR:
        return Standing.STUCK, f"it was heard of last {_ago(watched.updated, now)}"
    return Standing.GOES_ON, ""


def _ago(moment: datetime, now: datetime) -> str:
    return f"{spoken_span(now - moment)} ago"
