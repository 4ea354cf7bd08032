"""When a rollout shall be over: so long after its start, or by a time of day; and the nights when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rollout.deadline import LEAST_NOTICE, finish_at
from rollout.policy import PoolPolicy
from rollout.windows import UnreadableWindow
from tests.rollout.builders import a_policy

ZURICH = "Europe/Zurich"
NEW_YORK = "America/New_York"


def by(time_of_day: str, zone: str = ZURICH) -> PoolPolicy:
    return a_policy(finish_by=time_of_day, zone=zone)


def at(text: str, zone: str = ZURICH, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def test_without_either_key_a_rollout_has_no_time_to_be_over() -> None:
    assert finish_at(a_policy(), at("2026-11-23T09:00")) is None


def test_finish_within_counts_from_the_start() -> None:
    policy = a_policy(finish_within=timedelta(hours=36))
    assert finish_at(policy, at("2026-11-23T09:00")) == at("2026-11-24T21:00")


def test_finish_within_is_elapsed_time_whatever_the_clocks_do() -> None:
    policy = structs.replace(a_policy(zone=ZURICH), finish_within=timedelta(hours=24))
    assert finish_at(policy, at("2026-10-24T12:00")) == at("2026-10-25T11:00")


@pytest.mark.parametrize(
    ("started", "over"),
    [
        ("2026-11-23T09:00", "2026-11-24T06:00"),
        ("2026-11-23T18:00", "2026-11-24T06:00"),  # twelve hours exactly
        ("2026-11-23T18:00:01", "2026-11-25T06:00"),
        ("2026-11-24T05:00", "2026-11-25T06:00"),
        ("2026-11-24T00:30", "2026-11-25T06:00"),
    ],
)
def test_finish_by_is_the_first_such_time_at_least_twelve_hours_after_the_start(started: str, over: str) -> None:
    assert finish_at(by("06:00"), at(started)) == at(over)


def test_finish_by_is_a_time_in_the_pools_own_zone() -> None:
    started = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert finish_at(by("06:00", ZURICH), started) == datetime(2026, 11, 24, 5, tzinfo=UTC)
    assert finish_at(by("06:00", NEW_YORK), started) == datetime(2026, 11, 24, 11, tzinfo=UTC)
    assert finish_at(by("06:00", "Pacific/Auckland"), started) == datetime(2026, 11, 24, 17, tzinfo=UTC)


def test_the_start_may_be_given_in_any_zone_and_the_answer_is_in_utc() -> None:
    over = finish_at(by("06:00"), datetime(2026, 11, 23, 9, tzinfo=ZoneInfo(NEW_YORK)))
    assert over == at("2026-11-24T06:00")
    assert over is not None
    assert over.tzinfo is UTC


@pytest.mark.parametrize(
    ("zone", "started", "skipped"),
    [(ZURICH, "2026-03-28T12:00", "2026-03-29"), (NEW_YORK, "2026-03-07T12:00", "2026-03-08")],
)
def test_a_time_that_the_clocks_skip_is_taken_as_much_later(zone: str, started: str, skipped: str) -> None:
    assert finish_at(by("02:30", zone), at(started, zone)) == at(f"{skipped}T03:30", zone)


@pytest.mark.parametrize(
    ("zone", "started", "time_of_day", "twice"),
    [(ZURICH, "2026-10-24T12:00", "02:30", "2026-10-25"), (NEW_YORK, "2026-10-31T12:00", "01:30", "2026-11-01")],
)
def test_of_a_time_that_comes_twice_the_first_is_meant(zone: str, started: str, time_of_day: str, twice: str) -> None:
    assert finish_at(by(time_of_day, zone), at(started, zone)) == at(f"{twice}T{time_of_day}", zone, fold=0)


def test_twelve_hours_are_elapsed_hours_when_the_clocks_change_in_between() -> None:
    """From 18:00 to 06:00 are eleven hours in March and thirteen in October."""
    assert finish_at(by("06:00"), at("2026-03-28T18:00")) == at("2026-03-30T06:00")
    assert finish_at(by("06:00"), at("2026-10-24T19:00")) == at("2026-10-25T06:00")
    assert finish_at(by("06:00", NEW_YORK), at("2026-03-07T18:00", NEW_YORK)) == at("2026-03-09T06:00", NEW_YORK)
    assert finish_at(by("06:00", NEW_YORK), at("2026-10-31T19:00", NEW_YORK)) == at("2026-11-01T06:00", NEW_YORK)


def test_a_skipped_time_that_is_still_to_come_late_is_not_missed() -> None:
    """In Samoa the whole 30th of December 2011 was skipped: its 23:30 came as 23:30 of the 31st."""
    over = finish_at(by("23:30", "Pacific/Apia"), at("2011-12-29T12:00", "Pacific/Apia"))
    assert over == at("2011-12-31T23:30", "Pacific/Apia")


def test_a_zone_or_a_time_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(UnreadableWindow):
        finish_at(by("06:00", "Mars/Base"), at("2026-11-23T09:00"))
    with pytest.raises(UnreadableWindow):
        finish_at(by("six"), at("2026-11-23T09:00"))


@given(
    started=st.integers(0, 15 * 366 * 24 * 60).map(lambda minutes: at("2020-01-01T00:00") + timedelta(minutes=minutes)),
    zone=st.sampled_from([ZURICH, NEW_YORK, "UTC", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"]),
    minutes=st.integers(0, 24 * 60 - 1),
)
def test_it_is_never_earlier_than_twelve_hours_and_at_most_a_day_and_an_hour_after_that(
    started: datetime, zone: str, minutes: int
) -> None:
    over = finish_at(by(f"{minutes // 60:02}:{minutes % 60:02}", zone), started)
    assert over is not None
    assert timedelta(0) <= over - (started + LEAST_NOTICE) <= timedelta(hours=25)
