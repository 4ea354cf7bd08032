"""The phase of a scaling plan: over weekends, midnights and changes of the clocks, and what cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from rollout.model import ScalingPhase, ScalingPlan
from rollout.scaling import ScalingSchedule, scaling_plan

ZURICH = "Europe/Zurich"
NEW_YORK = "America/New_York"
WEEKDAYS = ScalingSchedule(
    days=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    ramp_up=time(7),
    peak=time(9),
    ramp_down=time(17, 30),
    off_peak=time(20),
    ramp_up_minimum=30,
    ramp_down_minimum=10,
)
WEEKEND = structs.replace(WEEKDAYS, days=("Saturday", "Sunday"), ramp_up=time(9), peak=time(10), ramp_up_minimum=5)
NIGHTS = structs.replace(WEEKDAYS, ramp_up=time(20), peak=time(22), ramp_down=time(5), off_peak=time(7))


def at(text: str, zone: str = ZURICH, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def plan(
    now: datetime, *schedules: ScalingSchedule, zone: str = ZURICH, enabled: bool = True, tag: str = "no-autoscale"
) -> ScalingPlan:
    return scaling_plan("sp", enabled=enabled, exclusion_tag=tag, zone=zone, schedules=schedules, now=now)


def phase(now: str, *schedules: ScalingSchedule, zone: str = ZURICH) -> str:
    """The phase in words: "Peak since Mon 09:00 with 30 %"."""
    return _said(plan(at(now, zone), *schedules, zone=zone).phase, "since", zone)


def next_phase(now: str, *schedules: ScalingSchedule, zone: str = ZURICH) -> str:
    return _said(plan(at(now, zone), *schedules, zone=zone).next_phase, "at", zone)


def _said(found: ScalingPhase | None, word: str, zone: str) -> str:
    if found is None:
        return ""
    return f"{found.kind} {word} {found.begins_at.astimezone(ZoneInfo(zone)):%a %H:%M} with {found.minimum_percent} %"


# 2026-11-23 is a Monday.
@pytest.mark.parametrize(
    ("now", "is_in", "comes"),
    [
        ("2026-11-23T07:00", "RampUp since Mon 07:00 with 30 %", "Peak at Mon 09:00 with 30 %"),
        ("2026-11-23T08:59:59", "RampUp since Mon 07:00 with 30 %", "Peak at Mon 09:00 with 30 %"),
        ("2026-11-23T09:00", "Peak since Mon 09:00 with 30 %", "RampDown at Mon 17:30 with 10 %"),
        ("2026-11-23T18:00", "RampDown since Mon 17:30 with 10 %", "OffPeak at Mon 20:00 with 10 %"),
        ("2026-11-23T23:59", "OffPeak since Mon 20:00 with 10 %", "RampUp at Tue 07:00 with 30 %"),
        ("2026-11-24T03:00", "OffPeak since Mon 20:00 with 10 %", "RampUp at Tue 07:00 with 30 %"),
    ],
)
def test_a_day_has_four_phases_and_the_night_belongs_to_the_day_before(now: str, is_in: str, comes: str) -> None:
    assert phase(now, WEEKDAYS) == is_in
    assert next_phase(now, WEEKDAYS) == comes


def test_off_peak_lasts_over_days_without_a_schedule() -> None:
    assert phase("2026-11-28T12:00", WEEKDAYS) == "OffPeak since Fri 20:00 with 10 %"
    assert next_phase("2026-11-28T12:00", WEEKDAYS) == "RampUp at Mon 07:00 with 30 %"


def test_each_day_follows_the_schedule_that_names_it() -> None:
    assert phase("2026-11-28T09:30", WEEKDAYS, WEEKEND) == "RampUp since Sat 09:00 with 5 %"
    assert next_phase("2026-11-27T21:00", WEEKDAYS, WEEKEND) == "RampUp at Sat 09:00 with 5 %"


def test_a_schedule_of_one_day_a_week_is_found_from_every_other_day() -> None:
    sundays = structs.replace(WEEKDAYS, days=("Sunday",))
    assert phase("2026-11-29T06:59", sundays) == "OffPeak since Sun 20:00 with 10 %"
    assert next_phase("2026-11-22T20:00", sundays) == "RampUp at Sun 07:00 with 30 %"


def test_a_schedule_may_run_past_midnight() -> None:
    assert phase("2026-11-24T04:00", NIGHTS) == "Peak since Mon 22:00 with 30 %"
    assert phase("2026-11-24T06:00", NIGHTS) == "RampDown since Tue 05:00 with 10 %"
    assert phase("2026-11-24T12:00", NIGHTS) == "OffPeak since Tue 07:00 with 10 %"
    assert phase("2026-11-28T04:00", NIGHTS) == "Peak since Fri 22:00 with 30 %"
    assert phase("2026-11-29T04:00", NIGHTS) == "OffPeak since Sat 07:00 with 10 %"


def test_of_phases_that_begin_at_once_the_last_one_counts() -> None:
    short = structs.replace(WEEKDAYS, peak=time(7))
    assert phase("2026-11-23T07:00", short) == "Peak since Mon 07:00 with 30 %"


def test_times_are_on_the_wall_of_the_plans_zone() -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert [_said(plan(noon, WEEKDAYS, zone=zone).phase, "since", zone)[:6] for zone in (ZURICH, NEW_YORK)] == [
        "Peak s",
        "RampUp",
    ]


@pytest.mark.parametrize(
    ("zone", "start", "skipped", "repeated"),
    [
        (ZURICH, time(2, 30), ("2026-03-29T03:29", "2026-03-29T03:30"), ("2026-10-25T02:29", "2026-10-25T02:30")),
        (NEW_YORK, time(1, 30), ("2026-03-08T01:29", "2026-03-08T01:30"), ("2026-11-01T01:29", "2026-11-01T01:30")),
    ],
)
def test_a_start_that_the_clocks_skip_comes_later_and_one_that_comes_twice_is_the_first(
    zone: str, start: time, skipped: tuple[str, str], repeated: tuple[str, str]
) -> None:
    early = structs.replace(WEEKEND, ramp_up=start)
    for before, after in (skipped, repeated):
        assert phase(before, early, zone=zone).startswith("OffPeak")
        assert phase(after, early, zone=zone).startswith("RampUp")


def test_in_october_the_phase_goes_on_when_its_start_comes_again() -> None:
    early = structs.replace(WEEKEND, ramp_up=time(2, 30))
    again = plan(at("2026-10-25T02:10", fold=1), early)
    assert again.phase == ScalingPhase("RampUp", at("2026-10-25T02:30"), 5)


def test_a_plan_that_is_not_enabled_is_named_and_has_no_phase() -> None:
    assert plan(at("2026-11-23T10:00"), WEEKDAYS, enabled=False) == ScalingPlan("sp", False, "no-autoscale")


def test_a_plan_without_schedules_is_named_and_has_no_phase() -> None:
    assert plan(at("2026-11-23T10:00")) == ScalingPlan("sp", True, "no-autoscale")


@pytest.mark.parametrize(
    "changes",
    [
        {"ramp_up": None},
        {"off_peak": None},
        {"ramp_up_minimum": None},
        {"ramp_down_minimum": 101},
        {"ramp_down_minimum": -1},
        {"peak": time(6), "ramp_down": time(5)},  # would take longer than a day
        {"off_peak": time(7, 30), "ramp_down": time(8)},
    ],
)
def test_a_plan_with_a_schedule_that_cannot_be_read_is_named_and_has_no_phase(changes: dict[str, Any]) -> None:
    broken = structs.replace(WEEKEND, **changes)
    assert plan(at("2026-11-23T10:00"), WEEKDAYS, broken) == ScalingPlan("sp", True, "no-autoscale")


@pytest.mark.parametrize("zone", ["Mars Standard Time", "", "../etc/passwd", "Europe"])
def test_a_plan_in_an_unknown_zone_is_named_and_has_no_phase(zone: str) -> None:
    assert plan(at("2026-11-23T10:00"), WEEKDAYS, zone=zone).phase is None
    assert plan(at("2026-11-23T10:00"), WEEKDAYS, zone=zone).name == "sp"


def test_words_for_days_that_nobody_knows_are_left_out_and_case_does_not_matter() -> None:
    schedule = structs.replace(WEEKDAYS, days=("MONDAY", "Holiday"))
    assert phase("2026-11-24T10:00", schedule) == "OffPeak since Mon 20:00 with 10 %"
    nothing = structs.replace(WEEKDAYS, days=("Holiday",))
    assert phase("2026-11-24T10:00", nothing) == ""
