"""Maintenance windows: is one open now, when does it close, when does the next one open?

An occurrence opens on a day of the window's recurrence (see recurrence.py) at the wall time `start` in its zone, and
closes when `duration` has elapsed, which is an hour earlier or later on the wall when the clocks change in between. A
start that a change of the clocks skips is taken as much later (02:30 becomes 03:30); one that comes twice is the first.
Windows that overlap or touch are one. No window list means always open. A window that cannot be read never opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from heapq import merge
from zoneinfo import ZoneInfo

from rollout.policy import Window
from rollout.recurrence import CYCLE_YEARS, Recurrence, UnreadableRecurrence, days_of, read_recurrence

MAX_DURATION = timedelta(days=366)
"""No window is longer, and none is looked at further ahead: what stays open for longer is said to close then."""

_START = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_ZONE_MARGIN = timedelta(days=2)
"""A local day is within so much of the same day in UTC, in every zone."""

Span = tuple[datetime, datetime]


class UnreadableWindow(ValueError):
    """A part of a window that keeps it from ever opening; the message says what is wrong with it."""


def is_open(windows: Iterable[Window], now: datetime) -> bool:
    """Work may start now. An empty list is always open; never raises for what a window says."""
    windows = tuple(windows)
    return not windows or any(opens <= now < closes for opens, closes in _spans(windows, now, now))


def closes_at(windows: Iterable[Window], now: datetime) -> datetime | None:
    """When what is open now closes, in UTC; `now` itself when nothing is open; None for an empty list (never closes).

    A year from now stands for every later moment.
    """
    windows = tuple(windows)
    if not windows:
        return None
    closing, limit = now, now + MAX_DURATION
    for opens, closes in _spans(windows, now, limit):
        if opens > closing or closing >= limit:
            break
        closing = max(closing, closes)
    return min(closing, limit)


def next_opening(windows: Iterable[Window], now: datetime) -> datetime | None:
    """When the next occurrence opens, later than `now`, in UTC; None when none ever does or the list is empty.

    An occurrence that begins while another window is open is no opening.
    """
    windows = tuple(windows)
    closing = now
    for opens, closes in _spans(windows, now, _years_after(now, CYCLE_YEARS + 1)):
        if opens > closing:
            return opens
        closing = max(closing, closes)
    return None


def read_zone(name: str) -> ZoneInfo:
    """The zone of an IANA name; raises UnreadableWindow."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # A name that is no file of the zone database raises any of these, by platform: "Europe", "../x", a null byte.
        raise UnreadableWindow(f"{name[:40]!r} is not an IANA time zone such as Europe/Zurich") from None


def read_start(text: str) -> time:
    """The time of day of "22:00"; raises UnreadableWindow."""
    start = _START.fullmatch(text)
    if start is None:
        raise UnreadableWindow(f"expected a time of day such as 22:00, got {text[:40]!r}")
    return time(int(start[1]), int(start[2]))


# ---------------------------------------------------------------------------------------------------------- occurrences


@dataclass(frozen=True)
class _Schedule:
    zone: ZoneInfo
    recurrence: Recurrence
    start: time
    duration: timedelta


def _spans(windows: tuple[Window, ...], now: datetime, until: datetime) -> Iterator[Span]:
    """Occurrences of all windows that open at or before `until` and close after `now`, by the time they open."""
    for opens, closes in merge(*(_spans_of(schedule, now, until) for schedule in _readable(windows))):
        if opens > until:
            return
        if closes > now:
            yield opens, closes


def _spans_of(schedule: _Schedule, now: datetime, until: datetime) -> Iterator[Span]:
    """The occurrences of one window from at least those still open at `now` on, in order, until past `until`."""
    first = (now - schedule.duration - _ZONE_MARGIN).date()
    for year in range(first.year, (until + _ZONE_MARGIN).year + 1):
        for day in days_of(schedule.recurrence, year):
            if day >= first:
                opens = datetime.combine(day, schedule.start, schedule.zone).astimezone(UTC)
                yield opens, opens + schedule.duration


def _years_after(now: datetime, years: int) -> datetime:
    return now + timedelta(days=366 * years)


# -------------------------------------------------------------------------------------------------------------- reading


def _readable(windows: tuple[Window, ...]) -> Iterator[_Schedule]:
    for window in windows:
        try:
            yield _read(window)
        except (UnreadableWindow, UnreadableRecurrence):
            continue


@lru_cache(maxsize=1024)
def _read(window: Window) -> _Schedule:
    if not timedelta(0) < window.duration <= MAX_DURATION:
        raise UnreadableWindow(f"no window is open for {window.duration}")
    recurrence, start = read_recurrence(window.recurrence), read_start(window.start)
    return _Schedule(read_zone(window.zone), recurrence, start, window.duration)
