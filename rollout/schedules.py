"""Schedules of images: when a rollout is due, when the next ones are, and what is remembered in between.

An occurrence is a day of the recurrence (see recurrence.py) at the wall time `start` in the schedule's zone. A time
that a change of the clocks skips is taken as much later (02:30 becomes 03:30); one that comes twice is the first.

What is remembered is one moment: up to which occurrence all is settled. It moves forward only, so a look that is taken
twice, late or by two instances at once comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import msgspec
from msgspec import Struct, structs

from rollout.model import count_of
from rollout.policy import SchedulePolicy
from rollout.recurrence import CYCLE_YEARS, days_of, read_recurrence
from rollout.windows import read_start, read_zone

ON_TIME = timedelta(hours=1)
"""An occurrence that is settled within so much has not been missed: the timer looks every quarter of an hour."""

PATCH_TUESDAY = "FREQ=MONTHLY;BYDAY=2TU"
"""When Microsoft publishes the month's security updates."""

_ZONE_MARGIN = timedelta(days=2)
"""A local day is within so much of the same day in UTC, in every zone."""


class ScheduleMemory(Struct, frozen=True, omit_defaults=True):
    """What is remembered of an image's schedule between two looks at it.

    `schedule` is the schedule as a sentence, by which an edit is noticed. Occurrences count after `since`; those up to
    `last` are settled, and `outcome` says what came of that one.
    """

    schedule: str = ""
    since: datetime | None = None
    last: datetime | None = None
    outcome: str = ""


class DueRun(Struct, frozen=True):
    """The occurrence to settle now, None when there is none; `run` False when it is skipped. `reason` is a sentence."""

    occurrence: datetime | None
    run: bool
    reason: str


def memory_of(state: object) -> ScheduleMemory:
    """A memory from the plain JSON that it was stored as; an empty one when there is none or it cannot be read."""
    try:
        return msgspec.convert(msgspec.json.decode(state) if isinstance(state, str) else state or {}, ScheduleMemory)
    except msgspec.MsgspecError:
        return ScheduleMemory()


def begun(memory: ScheduleMemory, schedule: SchedulePolicy, now: datetime) -> ScheduleMemory:
    """The memory of this schedule: the same one, or a fresh one from `now` on for a schedule that is new or edited.

    So an edit never starts a rollout by itself, however many occurrences the new schedule has in the past.
    """
    said = spoken(schedule)
    return memory if memory.schedule == said and memory.since is not None else ScheduleMemory(said, now)


def due(schedule: SchedulePolicy, memory: ScheduleMemory, now: datetime) -> DueRun:
    """What is to be settled at `now`: the latest occurrence that is not yet. Earlier ones are settled with it.

    That is how missed runs are caught up once: however many there were, one rollout follows, or with `missed: skip`
    none unless the latest is on time.
    """
    if memory.since is None:
        return DueRun(None, False, "the schedule has not begun")
    after = max(memory.since, memory.last) if memory.last is not None else memory.since
    open_ones = _count_and_latest(schedule, after, now)
    if open_ones is None:
        return DueRun(None, False, "nothing is due")
    count, latest = open_ones
    said = f"the run of {wall_time(schedule, latest)}"
    earlier = f", and {count - 1} before it," if count > 1 else ""
    if now - latest <= ON_TIME:
        return DueRun(latest, True, f"{said} is due")
    if schedule.missed == "skip":
        return DueRun(latest, False, f"{said}{earlier} was missed and is skipped, as the policy says")
    return DueRun(latest, True, f"{said}{earlier} was missed and is caught up once")


def settled(memory: ScheduleMemory, occurrence: datetime, outcome: str) -> ScheduleMemory:
    """The memory once this occurrence has been settled. One that is not later than the last changes nothing."""
    if memory.last is not None and occurrence <= memory.last:
        return memory
    return structs.replace(memory, last=occurrence, outcome=outcome)


def next_occurrences(schedule: SchedulePolicy, now: datetime, count: int = 5) -> tuple[datetime, ...]:
    """The next occurrences later than `now`, in UTC and in order; fewer when there are no more in a lifetime."""
    return tuple(islice(_after(schedule, now, now + timedelta(days=366 * (CYCLE_YEARS + 1))), count))


def spoken(schedule: SchedulePolicy) -> str:
    """The schedule in words: "FREQ=WEEKLY;BYDAY=MO at 20:00, Europe/Zurich"."""
    days = schedule.days_after_patch_tuesday
    when = schedule.recurrence
    if days is not None:
        when = f"{count_of(days, 'day')} after Patch Tuesday" if days else "Patch Tuesday"
    return f"{when} at {schedule.start}, {schedule.zone}"


def wall_time(schedule: SchedulePolicy, moment: datetime) -> str:
    """A moment as the clock on the wall shows it in the schedule's zone: "Wednesday 2026-12-09 20:00"."""
    return f"{moment.astimezone(read_zone(schedule.zone)):%A %Y-%m-%d %H:%M}"


# ---------------------------------------------------------------------------------------------------------- occurrences


def _count_and_latest(schedule: SchedulePolicy, after: datetime, until: datetime) -> tuple[int, datetime] | None:
    count, latest = 0, None
    for latest in _after(schedule, after, until):  # noqa: B007 - the last one is what is looked for
        count += 1
    return (count, latest) if latest is not None else None


def _after(schedule: SchedulePolicy, after: datetime, until: datetime) -> Iterator[datetime]:
    """Occurrences later than `after` and not later than `until`, in order."""
    zone, start = read_zone(schedule.zone), read_start(schedule.start)
    first = (after - _ZONE_MARGIN).date()
    for year in range(first.year, (until + _ZONE_MARGIN).year + 1):
        for day in _days(schedule, year):
            moment = datetime.combine(day, start, zone).astimezone(UTC)
            if moment > until:
                return
            if moment > after:
                yield moment


def _days(schedule: SchedulePolicy, year: int) -> Iterator[date]:
    if schedule.days_after_patch_tuesday is None:
        yield from days_of(read_recurrence(schedule.recurrence), year)
        return
    offset, tuesdays = timedelta(days=schedule.days_after_patch_tuesday), read_recurrence(PATCH_TUESDAY)
    for tuesday in (*days_of(tuesdays, year - 1)[-1:], *days_of(tuesdays, year)):
        if (tuesday + offset).year == year:
            yield tuesday + offset
