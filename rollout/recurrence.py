"""Recurrences of RFC 5545 as far as maintenance windows need them: on which days of a year does one occur?

A window has a time of day but no first day, so a recurrence is read as one without beginning and end:

* FREQ is DAILY, WEEKLY, MONTHLY or YEARLY, and the time of day is the window's: no BYHOUR, BYMINUTE, BYSECOND.
* Nothing is taken from a first day: WEEKLY needs BYDAY, MONTHLY needs BYDAY or BYMONTHDAY, YEARLY needs its days.
* No COUNT and no UNTIL.
* INTERVAL is counted from Monday 1 January 2001 (days and weeks) or January 2001 (months and years).

Days are expanded by dateutil, one year or month at a time. So the work is bounded even for a recurrence that never
occurs (30 February), for which dateutil alone would look through every year up to 9999.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime
from functools import lru_cache

from dateutil.rrule import MONTHLY, YEARLY, rrule, weekday

FIRST_DAY = date(2001, 1, 1)
"""A Monday; INTERVAL is counted from here."""

CYCLE_YEARS = 28
"""After so many years the calendar repeats (1901 to 2099): what has not occurred by then never will."""

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_WEEKDAY = re.compile(r"^(?P<nth>[+-]?[1-9][0-9]?)?(?P<day>MO|TU|WE|TH|FR|SA|SU)$")
_RANGES = {"BYMONTH": 12, "BYMONTHDAY": 31, "BYYEARDAY": 366, "BYWEEKNO": 53, "BYSETPOS": 366}
_ALLOWED = {
    "DAILY": {"BYMONTH", "BYMONTHDAY", "BYDAY"},
    "WEEKLY": {"BYMONTH", "BYDAY"},
    "MONTHLY": {"BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS"},
    "YEARLY": {"BYMONTH", "BYMONTHDAY", "BYDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"},
}
_DAY_PARTS = {
    "DAILY": (),
    "WEEKLY": ("BYDAY",),
    "MONTHLY": ("BYDAY", "BYMONTHDAY"),
    "YEARLY": ("BYDAY", "BYMONTHDAY", "BYYEARDAY"),
}
_REFUSED = {
    **dict.fromkeys(("BYHOUR", "BYMINUTE", "BYSECOND"), "the time of day belongs into the window's 'start'"),
    **dict.fromkeys(("COUNT", "UNTIL"), "a window recurs without end"),
}
_ONE_PERIOD = 12 * MAXYEAR
"""An interval after which no year is left, so that dateutil stops after the period that was asked for."""


class UnreadableRecurrence(ValueError):
    """The text is not a recurrence that a window can have; the message says what is wrong with it."""


@dataclass(frozen=True)
class Recurrence:
    """A recurrence that has been read. `months` to `positions` hold the values of the BY... parts, empty if absent."""

    frequency: str
    interval: int = 1
    week_start: int = 0
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[weekday, ...] = ()
    year_days: tuple[int, ...] = ()
    weeks: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()


def read_recurrence(text: str) -> Recurrence:
    """Read "FREQ=WEEKLY;BYDAY=SA" (with or without "RRULE:", in any case); raises UnreadableRecurrence."""
    parts = _parts(text)
    frequency = parts.pop("FREQ", "")
    if frequency not in _ALLOWED:
        raise UnreadableRecurrence(f"FREQ must be one of {', '.join(_ALLOWED)}, not {frequency[:40] or 'missing'}")
    interval, week_start = _interval(parts.pop("INTERVAL", "1")), _week_start(parts.pop("WKST", "MO"))
    _check_parts(parts, frequency)
    recurrence = Recurrence(
        frequency=frequency,
        interval=interval,
        week_start=week_start,
        months=_numbers(parts, "BYMONTH"),
        month_days=_numbers(parts, "BYMONTHDAY"),
        weekdays=_weekdays(parts, frequency),
        year_days=_numbers(parts, "BYYEARDAY"),
        weeks=_numbers(parts, "BYWEEKNO"),
        positions=_numbers(parts, "BYSETPOS"),
    )
    if not any(days_of(recurrence, FIRST_DAY.year + offset) for offset in range(1, CYCLE_YEARS + 1)):
        raise UnreadableRecurrence(f"there is no such day in any {CYCLE_YEARS} years")
    return recurrence


@lru_cache(maxsize=4096)
def days_of(recurrence: Recurrence, year: int) -> tuple[date, ...]:
    """The days of `year` on which the recurrence occurs, in order."""
    return tuple(day for day in _expand(recurrence, year) if _is_in_step(recurrence, day))


# ---------------------------------------------------------------------------------------------------------- expanding


def _expand(recurrence: Recurrence, year: int) -> Iterator[date]:
    """The days that the BY... parts leave, whatever INTERVAL says.

    Parts of DAILY and WEEKLY only limit (RFC 5545, 3.3.10), so these are the days of the year within the limits.
    """
    months = range(1, 13) if recurrence.frequency == "MONTHLY" else (1,)
    for month in months:
        yield from (moment.date() for moment in _period(recurrence, datetime(year, month, 1)))  # noqa: DTZ001


def _period(recurrence: Recurrence, start: datetime) -> rrule:
    """The occurrences in the one month or year that begins with `start`."""
    limits_only = recurrence.frequency in ("DAILY", "WEEKLY")
    every_day = tuple(range(7)) if limits_only else None
    return rrule(
        MONTHLY if recurrence.frequency == "MONTHLY" else YEARLY,
        dtstart=start,
        interval=_ONE_PERIOD,
        wkst=recurrence.week_start,
        bymonth=recurrence.months or None,
        bymonthday=recurrence.month_days or None,
        byweekday=recurrence.weekdays or every_day,
        byyearday=recurrence.year_days or None,
        byweekno=recurrence.weeks or None,
        bysetpos=recurrence.positions or None,
    )


def _is_in_step(recurrence: Recurrence, day: date) -> bool:
    """The day lies in a period that INTERVAL does not leave out."""
    days = (day - FIRST_DAY).days
    periods = {
        "DAILY": days,
        "WEEKLY": (days + (-recurrence.week_start) % 7) // 7,  # counted from the week that holds the first day
        "MONTHLY": 12 * (day.year - FIRST_DAY.year) + day.month - FIRST_DAY.month,
        "YEARLY": day.year - FIRST_DAY.year,
    }
    return periods[recurrence.frequency] % recurrence.interval == 0


# ------------------------------------------------------------------------------------------------------------ reading


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.strip().upper().removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise UnreadableRecurrence(f"expected parts such as FREQ=WEEKLY joined by ';', got {part[:40]!r}")
        if name in parts:
            raise UnreadableRecurrence(f"{name} is given twice")
        parts[name] = value
    return parts


def _check_parts(parts: dict[str, str], frequency: str) -> None:
    for name in parts:
        if name in _REFUSED:
            raise UnreadableRecurrence(f"{name} cannot be used: {_REFUSED[name]}")
        if name not in _RANGES and name != "BYDAY":
            raise UnreadableRecurrence(f"{name[:40]} is not a part of a recurrence")
        if name not in _ALLOWED[frequency]:
            raise UnreadableRecurrence(f"{name} cannot be used with FREQ={frequency}")
    needed = _DAY_PARTS[frequency]
    if needed and not parts.keys() & set(needed):
        raise UnreadableRecurrence(f"FREQ={frequency} needs {' or '.join(needed)} to say on which days")


def _interval(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise UnreadableRecurrence(f"INTERVAL must be a whole number from 1 to 9999, not {text[:40]}")
    return int(text)


def _week_start(text: str) -> int:
    if text not in _WEEKDAYS:
        raise UnreadableRecurrence(f"WKST must be one of {', '.join(_WEEKDAYS)}, not {text[:40]}")
    return _WEEKDAYS.index(text)


def _numbers(parts: dict[str, str], name: str) -> tuple[int, ...]:
    """The values of a BY... part: whole numbers; negative ones count from the end, except of months."""
    highest, sign = _RANGES[name], "" if name == "BYMONTH" else "[+-]?"
    values = []
    for text in parts[name].split(",") if name in parts else ():
        if not re.fullmatch(rf"{sign}[0-9]{{1,3}}", text) or not 1 <= abs(int(text)) <= highest:
            raise UnreadableRecurrence(f"{name} must hold numbers from 1 to {highest}, not {text[:40]!r}")
        values.append(int(text))
    return tuple(values)


def _weekdays(parts: dict[str, str], frequency: str) -> tuple[weekday, ...]:
    found = []
    for text in parts["BYDAY"].split(",") if "BYDAY" in parts else ():
        match = _WEEKDAY.match(text)
        if match is None:
            raise UnreadableRecurrence(f"BYDAY must hold days such as MO or 2TU, not {text[:40]!r}")
        nth = int(match["nth"] or 0)
        if nth and (frequency in ("DAILY", "WEEKLY") or "BYWEEKNO" in parts):
            raise UnreadableRecurrence(f"{text} has a meaning within a month or a year only: use FREQ=MONTHLY")
        found.append(weekday(_WEEKDAYS.index(match["day"]), nth or None))
    return tuple(found)
