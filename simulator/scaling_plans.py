"""Scaling plans: their weekly schedules, and the phase of the day that a plan is in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
WEEK = (*WEEKDAYS, "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The four phases of the days it names; times are on the wall of the plan's zone, shares in percent.

    Peak keeps the minimum and the threshold of RampUp, OffPeak those of RampDown. A time that is earlier than the one
    before it is of the next day. The last five are shown and not acted upon: autoscale here ends nobody's session.
    """

    name: str = "weekdays"
    days: tuple[str, ...] = WEEKDAYS
    ramp_up: time = time(7)
    peak: time = time(9)
    ramp_down: time = time(18)
    off_peak: time = time(20)
    ramp_up_minimum: int = 20
    ramp_up_threshold: int = 60
    ramp_down_minimum: int = 10
    ramp_down_threshold: int = 90
    load_balancing: str = "BreadthFirst"
    force_logoff: bool = False
    stop_hosts_when: str = "ZeroSessions"
    wait_minutes: int = 30
    message: str = "You will be logged off in 30 min. Make sure to save your work."


class Phase(NamedTuple):
    """A phase of a plan's day, and what holds in it, in percent."""

    kind: str
    minimum: int
    threshold: int


@dataclass(slots=True, eq=False)
class ScalingPlan:
    """An autoscale plan. `time_zone` is a Windows name. Without schedules it does nothing."""

    id: str
    name: str
    subscription: str
    group: str
    location: str
    exclusion_tag: str
    pools: list[str]
    time_zone: str = "UTC"
    enabled: bool = True
    schedules: tuple[Schedule, ...] = ()

    def phase(self, now: datetime) -> Phase | None:
        """The phase that began last; None when none of the last days has a schedule."""
        local = now.astimezone(ZoneInfo(win_tz[self.time_zone])).replace(tzinfo=None)
        begun: list[tuple[datetime, int, Phase]] = []
        for back in range(9):
            day = local - timedelta(days=back)
            for schedule in self.schedules:
                if WEEK[day.weekday()] in schedule.days:
                    begun += [one for one in _phases_of(schedule, day) if one[0] <= local]
        return max(begun)[2] if begun else None


def _phases_of(schedule: Schedule, day: datetime) -> list[tuple[datetime, int, Phase]]:
    up = (schedule.ramp_up_minimum, schedule.ramp_up_threshold)
    down = (schedule.ramp_down_minimum, schedule.ramp_down_threshold)
    found: list[tuple[datetime, int, Phase]] = []
    for index, (kind, start, shares) in enumerate(
        (
            ("RampUp", schedule.ramp_up, up),
            ("Peak", schedule.peak, up),
            ("RampDown", schedule.ramp_down, down),
            ("OffPeak", schedule.off_peak, down),
        )
    ):
        begins = datetime.combine(day.date(), start)
        while found and begins < found[-1][0]:
            begins += timedelta(days=1)
        found.append((begins, index, Phase(kind, *shares)))
    return found
