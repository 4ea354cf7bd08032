"""What a scaling plan does to a host pool at a given time, from the plan's weekly schedules.

A schedule divides each of its days into four phases. OffPeak lasts until the next RampUp of any schedule, over days
without one (an assumption: Azure does not say). A start that a change of the clocks skips is taken as much later, one
that comes twice is the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from msgspec import Struct

from rollout.model import ScalingPhase, ScalingPlan
from rollout.windows import UnreadableWindow, read_zone

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_KINDS = ("RampUp", "Peak", "RampDown", "OffPeak")
_LOOKED_AT = range(-9, 10)
"""Days around today: a schedule of one day a week began within a week, and its OffPeak may begin on the next day."""


class ScalingSchedule(Struct, frozen=True):
    """A schedule as Azure shows it. `days` are English names, unknown ones are left out; None is what cannot be read.

    The times of day are on the wall of the plan's zone; one that is earlier than the one before it is of the next day.
    Azure has no minimum of its own for Peak and OffPeak: they keep that of the phase before.
    """

    days: tuple[str, ...]
    ramp_up: time | None
    peak: time | None
    ramp_down: time | None
    off_peak: time | None
    ramp_up_minimum: int | None
    ramp_down_minimum: int | None


def scaling_plan(
    name: str, *, enabled: bool, exclusion_tag: str, zone: str, schedules: Sequence[ScalingSchedule], now: datetime
) -> ScalingPlan:
    """The plan as it acts at `now` (aware); `zone` is an IANA name.

    Without phases when it is not enabled, or when the zone or any of its schedules cannot be read: half of a plan would
    promise something that autoscale does not keep.
    """
    phase, next_phase = _phases(zone, schedules, now) if enabled else (None, None)
    return ScalingPlan(name, enabled, exclusion_tag, phase, next_phase)


def _phases(
    zone: str, schedules: Sequence[ScalingSchedule], now: datetime
) -> tuple[ScalingPhase | None, ScalingPhase | None]:
    """The phase that `now` lies in and the one after it."""
    try:
        local = read_zone(zone)
    except UnreadableWindow:
        return None, None
    if not all(_is_readable(schedule) for schedule in schedules):
        return None, None
    today = now.astimezone(local).date()
    phases = sorted(
        (
            phase
            for offset in _LOOKED_AT
            for schedule in schedules
            for phase in _phases_of(schedule, today + timedelta(days=offset), local)
        ),
        key=lambda phase: phase.begins_at,  # of phases that begin at once the last one counts
    )
    begun = [phase for phase in phases if phase.begins_at <= now]
    to_come = phases[len(begun) :]
    return (begun[-1] if begun else None), (to_come[0] if to_come else None)


def _phases_of(schedule: ScalingSchedule, day: date, zone: ZoneInfo) -> Iterator[ScalingPhase]:
    if _DAYS[day.weekday()] not in {name.lower() for name in schedule.days}:
        return
    starts, minimums = _starts(schedule), (schedule.ramp_up_minimum, schedule.ramp_down_minimum)
    for index, (kind, start) in enumerate(zip(_KINDS, starts, strict=True)):
        if index and start < starts[index - 1]:
            day += timedelta(days=1)
        begins_at = datetime.combine(day, start, zone).astimezone(UTC)
        yield ScalingPhase(kind, begins_at, minimums[index // 2] or 0)


def _is_readable(schedule: ScalingSchedule) -> bool:
    """Everything is said, and the four phases fit into one day however late it begins."""
    starts = _starts(schedule)
    minimums = (schedule.ramp_up_minimum, schedule.ramp_down_minimum)
    if len(starts) < len(_KINDS) or not all(part is not None and 0 <= part <= 100 for part in minimums):
        return False
    return sum(later < earlier for earlier, later in pairwise([*starts, starts[0]])) <= 1


def _starts(schedule: ScalingSchedule) -> list[time]:
    starts = (schedule.ramp_up, schedule.peak, schedule.ramp_down, schedule.off_peak)
    return [start for start in starts if start is not None]
