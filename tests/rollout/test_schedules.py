"""Schedules: when the next runs are, what is due, and what becomes of runs that nobody was there to start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.policy import SchedulePolicy
from rollout.schedules import ScheduleMemory, begun, due, memory_of, next_occurrences, settled, spoken, wall_time

ZURICH, SYDNEY = "Europe/Zurich", "Australia/Sydney"
MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def a_schedule(recurrence: str = "FREQ=WEEKLY;BYDAY=MO", start: str = "20:00", **keys: Any) -> SchedulePolicy:
    recurrence = "" if "days_after_patch_tuesday" in keys else recurrence
    return SchedulePolicy(**{"zone": ZURICH, "start": start, "recurrence": recurrence, **keys})


def on_the_wall(schedule: SchedulePolicy, after: datetime = MONDAY, count: int = 5) -> list[str]:
    zone = ZoneInfo(schedule.zone)
    return [f"{moment.astimezone(zone):%a %d %b %H:%M}" for moment in next_occurrences(schedule, after, count)]


def since(schedule: SchedulePolicy, moment: datetime = MONDAY) -> ScheduleMemory:
    return begun(ScheduleMemory(), schedule, moment)


# ---------------------------------------------------------------------------------------------------- the next runs


def test_every_day() -> None:
    assert on_the_wall(a_schedule("FREQ=DAILY"), count=3) == [
        "Mon 23 Nov 20:00",
        "Tue 24 Nov 20:00",
        "Wed 25 Nov 20:00",
    ]


def test_every_other_week() -> None:
    first, second, _ = next_occurrences(a_schedule("FREQ=WEEKLY;INTERVAL=2;BYDAY=SA"), MONDAY, 3)
    assert second - first == timedelta(days=14)


def test_the_second_wednesday_of_the_month() -> None:
    assert on_the_wall(a_schedule("FREQ=MONTHLY;BYDAY=2WE")) == [
        "Wed 09 Dec 20:00",
        "Wed 13 Jan 20:00",
        "Wed 10 Feb 20:00",
        "Wed 10 Mar 20:00",
        "Wed 14 Apr 20:00",
    ]


def test_the_wednesday_after_patch_tuesday_is_not_always_the_second_one() -> None:
    # In July 2026 the month begins on a Wednesday: Patch Tuesday is the 14th, the second Wednesday the 8th.
    june = datetime(2026, 6, 20, tzinfo=UTC)
    assert on_the_wall(a_schedule(days_after_patch_tuesday=1), june, 1) == ["Wed 15 Jul 20:00"]
    assert on_the_wall(a_schedule("FREQ=MONTHLY;BYDAY=2WE"), june, 1) == ["Wed 08 Jul 20:00"]


def test_the_monday_after_patch_tuesday() -> None:
    assert on_the_wall(a_schedule(days_after_patch_tuesday=6), count=3) == [
        "Mon 14 Dec 20:00",
        "Mon 18 Jan 20:00",
        "Mon 15 Feb 20:00",
    ]


def test_many_days_after_patch_tuesday_reach_into_the_next_month_and_year() -> None:
    in_december = datetime(2026, 12, 20, tzinfo=UTC)
    assert on_the_wall(a_schedule(days_after_patch_tuesday=27), in_december, 2) == [
        "Mon 04 Jan 20:00",
        "Mon 08 Feb 20:00",
    ]


def test_the_next_run_is_later_than_now() -> None:
    schedule = a_schedule("FREQ=DAILY")
    first = next_occurrences(schedule, MONDAY, 1)[0]
    assert next_occurrences(schedule, first, 1) == (first + timedelta(days=1),)
    assert next_occurrences(schedule, first - timedelta(seconds=1), 1) == (first,)


def test_a_schedule_keeps_its_time_on_the_wall_when_the_clocks_change() -> None:
    before_the_change = datetime(2026, 10, 24, tzinfo=UTC)
    moments = next_occurrences(a_schedule("FREQ=DAILY"), before_the_change, 3)
    assert [moment.hour for moment in moments] == [18, 19, 19]


@pytest.mark.parametrize(
    ("zone", "night", "in_utc"),
    [(ZURICH, datetime(2027, 3, 27, 12, tzinfo=UTC), "01:30"), (SYDNEY, datetime(2026, 10, 3, 6, tzinfo=UTC), "16:30")],
)
def test_a_time_that_the_clocks_skip_is_an_hour_later_on_the_wall(zone: str, night: datetime, in_utc: str) -> None:
    schedule = a_schedule("FREQ=DAILY", "02:30", zone=zone)
    (moment,) = next_occurrences(schedule, night, 1)
    assert f"{moment:%H:%M}" == in_utc
    assert wall_time(schedule, moment).endswith("03:30")


@pytest.mark.parametrize(
    ("zone", "night"),
    [(ZURICH, datetime(2026, 10, 24, 12, tzinfo=UTC)), (SYDNEY, datetime(2027, 4, 3, 6, tzinfo=UTC))],
)
def test_a_time_that_comes_twice_counts_the_first_time_only(zone: str, night: datetime) -> None:
    schedule = a_schedule("FREQ=DAILY", "02:30", zone=zone)
    first, second = next_occurrences(schedule, night, 2)
    assert wall_time(schedule, first).endswith("02:30")
    assert second - first == timedelta(hours=25)


def test_five_are_listed_even_of_a_rare_day() -> None:
    assert len(next_occurrences(a_schedule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"), MONDAY)) == 5


# ------------------------------------------------------------------------------------------------------- what is due


def test_nothing_is_due_before_the_first_run() -> None:
    schedule = a_schedule()
    assert due(schedule, since(schedule), MONDAY + timedelta(hours=1)).occurrence is None


def test_a_run_is_due_at_its_moment_and_until_it_is_settled() -> None:
    schedule = a_schedule()
    memory, (moment,) = since(schedule), next_occurrences(schedule, MONDAY, 1)

    run = due(schedule, memory, moment)
    assert (run.occurrence, run.run, run.reason) == (moment, True, "the run of Monday 2026-11-23 20:00 is due")
    assert due(schedule, memory, moment + timedelta(minutes=14)).occurrence == moment
    assert due(schedule, settled(memory, moment, "done"), moment + timedelta(minutes=15)).occurrence is None


def test_a_schedule_that_is_new_starts_nothing_of_the_past() -> None:
    schedule = a_schedule("FREQ=DAILY")
    assert due(schedule, since(schedule), MONDAY).occurrence is None


def test_an_edited_schedule_begins_anew_and_starts_nothing_of_the_past() -> None:
    old, new = a_schedule("FREQ=WEEKLY;BYDAY=SU"), a_schedule("FREQ=DAILY", "07:00")
    edited_at = MONDAY + timedelta(days=10)

    memory = begun(since(old), new, edited_at)

    assert memory == ScheduleMemory(spoken(new), edited_at)
    assert due(new, memory, edited_at).occurrence is None


def test_another_minimum_age_is_no_other_schedule() -> None:
    memory = since(a_schedule())
    assert begun(memory, a_schedule(min_age=timedelta(days=2), missed="skip"), MONDAY + timedelta(days=3)) is memory


def test_missed_runs_are_caught_up_by_one() -> None:
    schedule = a_schedule("FREQ=DAILY")
    back_at = MONDAY + timedelta(days=4)
    run = due(schedule, since(schedule), back_at)

    assert run.run
    assert run.reason == "the run of Thursday 2026-11-26 20:00, and 3 before it, was missed and is caught up once"
    assert run.occurrence is not None
    assert due(schedule, settled(since(schedule), run.occurrence, ""), back_at).occurrence is None


def test_missed_runs_are_skipped_where_the_policy_says_so() -> None:
    schedule = a_schedule("FREQ=DAILY", missed="skip")
    run = due(schedule, since(schedule), MONDAY + timedelta(days=4))

    assert (run.run, run.occurrence) == (False, datetime(2026, 11, 26, 19, 0, tzinfo=UTC))
    assert "is skipped" in run.reason


def test_of_missed_runs_the_one_that_is_on_time_is_taken_even_where_missed_ones_are_skipped() -> None:
    schedule = a_schedule("FREQ=DAILY", missed="skip")
    run = due(schedule, since(schedule), MONDAY + timedelta(days=3, hours=11, minutes=30))
    assert run.run


def test_what_is_settled_stays_settled_whatever_comes_later() -> None:
    schedule = a_schedule("FREQ=DAILY")
    first, second = next_occurrences(schedule, MONDAY, 2)
    memory = settled(since(schedule), second, "second")

    assert settled(memory, first, "first, a late signal") == memory
    assert settled(memory, second, "the same once more") == memory


@pytest.mark.parametrize("state", [None, {}, "", {"since": "yesterday"}, "{", [1]])
def test_a_memory_that_cannot_be_read_is_an_empty_one(state: Any) -> None:
    assert memory_of(state) == ScheduleMemory()


@given(
    recurrence=st.sampled_from(
        ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TH", "FREQ=MONTHLY;BYDAY=2TU", "FREQ=MONTHLY;BYMONTHDAY=31"]
    ),
    zone=st.sampled_from([ZURICH, SYDNEY, "America/St_Johns", "Pacific/Apia", "UTC"]),
    start=st.sampled_from(["00:00", "02:30", "12:00", "23:59"]),
    steps=st.lists(st.integers(min_value=1, max_value=60 * 24 * 40), min_size=1, max_size=30),
)
def test_every_run_is_settled_once_in_order_and_never_before_its_time(
    recurrence: str, zone: str, start: str, steps: list[int]
) -> None:
    schedule = a_schedule(recurrence, start, zone=zone)
    memory, now, taken = since(schedule), MONDAY, []
    for minutes in steps:
        now += timedelta(minutes=minutes)
        run = due(schedule, memory, now)
        if run.occurrence is not None:
            assert MONDAY < run.occurrence <= now
            taken.append(run.occurrence)
            memory = settled(memory, run.occurrence, run.reason)
        assert due(schedule, memory, now).occurrence is None
        assert next_occurrences(schedule, now, 1)[0] > now
    assert all(earlier < later for earlier, later in pairwise(taken))
