"""Maintenance windows: open, closing, next opening, and the nights on which the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from rollout.policy import Window
from rollout.recurrence import FIRST_DAY, UnreadableRecurrence, days_of, read_recurrence
from rollout.windows import closes_at, is_open, next_opening

ZURICH = "Europe/Zurich"
NEW_YORK = "America/New_York"


def a_window(
    recurrence: str = "FREQ=WEEKLY;BYDAY=SA", start: str = "22:00", duration: float = 6, zone: str = ZURICH
) -> Window:
    return Window(zone=zone, recurrence=recurrence, start=start, duration=timedelta(hours=duration))


def at(text: str, zone: str = ZURICH, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


SATURDAY_NIGHT = a_window()  # 2026-11-21 is a Saturday
FRIDAY_NOON = at("2026-11-20T12:00")


def test_without_a_window_list_it_is_always_open_and_never_closes() -> None:
    assert is_open([], FRIDAY_NOON)
    assert closes_at([], FRIDAY_NOON) is None
    assert next_opening([], FRIDAY_NOON) is None


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-21T21:59:59", False),
        ("2026-11-21T22:00", True),
        ("2026-11-22T03:59:59", True),
        ("2026-11-22T04:00", False),
        ("2026-11-22T23:00", False),
    ],
)
def test_a_window_is_open_from_its_start_until_just_before_its_end(now: str, expected: bool) -> None:
    assert is_open([SATURDAY_NIGHT], at(now)) is expected


def test_an_open_window_says_when_it_closes() -> None:
    assert closes_at([SATURDAY_NIGHT], at("2026-11-22T01:00")) == at("2026-11-22T04:00")


def test_a_closed_window_closes_now_so_that_nothing_fits_into_it() -> None:
    assert closes_at([SATURDAY_NIGHT], FRIDAY_NOON) == FRIDAY_NOON


def test_the_next_opening_is_this_saturday_and_while_open_the_one_after() -> None:
    assert next_opening([SATURDAY_NIGHT], FRIDAY_NOON) == at("2026-11-21T22:00")
    assert next_opening([SATURDAY_NIGHT], at("2026-11-21T22:00")) == at("2026-11-28T22:00")


def test_windows_that_overlap_are_one() -> None:
    both = [SATURDAY_NIGHT, a_window("FREQ=WEEKLY;BYDAY=SU", "02:00", 5)]
    assert closes_at(both, at("2026-11-21T23:00")) == at("2026-11-22T07:00")
    assert next_opening(both, at("2026-11-21T23:00")) == at("2026-11-28T22:00")


def test_windows_that_touch_are_one() -> None:
    both = [SATURDAY_NIGHT, a_window("FREQ=WEEKLY;BYDAY=SU", "04:00", 2)]
    assert closes_at(both, at("2026-11-21T23:00")) == at("2026-11-22T06:00")
    assert next_opening(both, FRIDAY_NOON) == at("2026-11-21T22:00")


def test_windows_with_a_gap_are_two_in_whatever_order_they_are_written() -> None:
    both = [a_window("FREQ=WEEKLY;BYDAY=SU", "05:00", 2), SATURDAY_NIGHT]
    assert closes_at(both, at("2026-11-21T23:00")) == at("2026-11-22T04:00")
    assert next_opening(both, at("2026-11-21T23:00")) == at("2026-11-22T05:00")


def test_a_short_window_inside_a_long_one_does_not_close_it() -> None:
    both = [SATURDAY_NIGHT, a_window("FREQ=WEEKLY;BYDAY=SA", "23:00", 1)]
    assert closes_at(both, at("2026-11-21T23:30")) == at("2026-11-22T04:00")


def test_occurrences_longer_than_their_distance_never_close_within_the_year() -> None:
    always = [a_window("FREQ=DAILY", "00:00", 25)]
    assert is_open(always, FRIDAY_NOON)
    closing = closes_at(always, FRIDAY_NOON)
    assert closing is not None
    assert closing - FRIDAY_NOON == timedelta(days=366)
    assert next_opening(always, FRIDAY_NOON) is None


def test_a_window_that_began_last_year_is_still_open() -> None:
    new_year = [a_window("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=31", "20:00", 12)]
    assert is_open(new_year, at("2027-01-01T05:00"))
    assert closes_at(new_year, at("2027-01-01T05:00")) == at("2027-01-01T08:00")
    assert next_opening(new_year, at("2027-01-01T05:00")) == at("2027-12-31T20:00")


def test_the_night_after_patch_tuesday_can_be_said() -> None:
    assert next_opening([a_window("FREQ=MONTHLY;BYDAY=2TU")], FRIDAY_NOON) == at("2026-12-08T22:00")


# ------------------------------------------------------------------------------------------------ clocks that change


def test_a_start_that_the_clocks_skip_is_an_hour_later_on_the_wall() -> None:
    # Zurich, 29 March 2026: 02:00 becomes 03:00.
    window = a_window("FREQ=WEEKLY;BYDAY=SU", "02:30", 2)
    assert next_opening([window], at("2026-03-28T12:00")) == at("2026-03-29T03:30")
    assert closes_at([window], at("2026-03-29T04:00")) == at("2026-03-29T05:30")


def test_a_start_that_comes_twice_is_the_first_of_the_two() -> None:
    # New York, 1 November 2026: 02:00 becomes 01:00.
    window = a_window("FREQ=WEEKLY;BYDAY=SU", "01:30", 2, NEW_YORK)
    opening = next_opening([window], at("2026-10-31T12:00", NEW_YORK))
    assert opening == at("2026-11-01T01:30", NEW_YORK, fold=0)
    assert opening != at("2026-11-01T01:30", NEW_YORK, fold=1)


def test_a_night_in_spring_closes_an_hour_later_on_the_wall() -> None:
    assert closes_at([SATURDAY_NIGHT], at("2026-03-28T23:00")) == at("2026-03-29T05:00")


def test_a_night_in_autumn_closes_an_hour_earlier_on_the_wall() -> None:
    assert closes_at([SATURDAY_NIGHT], at("2026-10-24T23:00")) == at("2026-10-25T03:00")


TRANSITIONS_2026 = {
    ZURICH: (date(2026, 3, 29), date(2026, 10, 25)),
    NEW_YORK: (date(2026, 3, 8), date(2026, 11, 1)),
}

minutes_of_day = st.integers(min_value=0, max_value=24 * 60 - 1)


@given(
    zone=st.sampled_from([ZURICH, NEW_YORK]),
    spring=st.booleans(),
    day_offset=st.integers(min_value=-1, max_value=1),
    start=minutes_of_day,
    duration=st.integers(min_value=1, max_value=20 * 60),
)
def test_around_both_clock_changes_a_window_is_open_for_exactly_its_duration(
    zone: str, spring: bool, day_offset: int, start: int, duration: int
) -> None:
    day = TRANSITIONS_2026[zone][0 if spring else 1] + timedelta(days=day_offset)
    window = a_window(
        f"FREQ=YEARLY;BYMONTH={day.month};BYMONTHDAY={day.day}", f"{start // 60:02d}:{start % 60:02d}", 1, zone
    )
    window = Window(zone=zone, recurrence=window.recurrence, start=window.start, duration=timedelta(minutes=duration))
    opening = next_opening([window], at(f"{day - timedelta(days=3)}T12:00", zone))
    assert opening is not None
    local = opening.astimezone(ZoneInfo(zone))
    wall = datetime.fromisoformat(f"{day}T{window.start}")
    assert local.replace(tzinfo=None) - wall in (timedelta(0), timedelta(hours=1))
    second = timedelta(seconds=1)
    closing = opening + timedelta(minutes=duration)
    assert not is_open([window], opening - second)
    assert is_open([window], opening)
    assert is_open([window], closing - second)
    assert not is_open([window], closing)
    assert closes_at([window], opening) == closing


recurrences = st.sampled_from(
    [
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=3",
        "FREQ=WEEKLY;BYDAY=SA",
        "FREQ=WEEKLY;BYDAY=MO,WE,FR",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU;WKST=SU",
        "FREQ=MONTHLY;BYDAY=2TU",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=SECONDLY",
    ]
)
windows_lists = st.lists(
    st.builds(
        a_window,
        recurrence=recurrences,
        start=minutes_of_day.map(lambda minute: f"{minute // 60:02d}:{minute % 60:02d}"),
        duration=st.integers(min_value=1, max_value=50),
        zone=st.sampled_from([ZURICH, NEW_YORK, "UTC", "Australia/Lord_Howe"]),
    ),
    min_size=1,
    max_size=4,
)
moments = st.integers(min_value=0, max_value=2 * 365 * 24 * 60).map(
    lambda minute: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
)


@given(windows=windows_lists, now=moments)
def test_open_until_it_closes_and_closed_until_it_opens(windows: list[Window], now: datetime) -> None:
    closing, opening = closes_at(windows, now), next_opening(windows, now)
    assert closing is not None
    assert is_open(windows, now) is (closing > now)
    instant = timedelta(microseconds=1)
    if now < closing < now + timedelta(days=366):
        assert is_open(windows, closing - instant)
        assert not is_open(windows, closing)
    if opening is not None:
        assert opening > closing
        assert is_open(windows, opening)
        assert not is_open(windows, opening - instant)
        assert next_opening(windows, closing) == opening


# --------------------------------------------------------------------------------------------------------- unreadable


@pytest.mark.parametrize(
    "window",
    [
        *(a_window(zone=zone) for zone in ("Europe/Zuerich", "", "Europe", "../../etc/passwd", "/etc/passwd", "a\0b")),
        *(a_window(start=start) for start in ("25:00", "22:00\n", "7:00", "")),
        *(a_window(duration=duration) for duration in (0, -1, 24 * 400)),
        *(a_window(recurrence=recurrence) for recurrence in ("", "every saturday", "FREQ=SECONDLY", "FREQ=WEEKLY")),
        a_window(recurrence="FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30"),
    ],
)
def test_an_unreadable_window_never_opens(window: Window) -> None:
    assert not is_open([window], FRIDAY_NOON)
    assert closes_at([window], FRIDAY_NOON) == FRIDAY_NOON
    assert next_opening([window], FRIDAY_NOON) is None


def test_an_unreadable_window_does_not_close_a_readable_one() -> None:
    assert is_open([a_window(zone="nowhere"), SATURDAY_NIGHT], at("2026-11-21T23:00"))


@given(zone=st.text(max_size=20), recurrence=st.text(max_size=60), start=st.text(max_size=6), days=st.integers())
def test_no_window_ever_makes_a_decision_fail(zone: str, recurrence: str, start: str, days: int) -> None:
    duration = timedelta(days=max(-999_999_999, min(999_999_999, days)))
    for window in (
        Window(zone=zone, recurrence=recurrence, start=start, duration=duration),
        Window(zone=ZURICH, recurrence=f"FREQ=DAILY;{recurrence}", start="22:00", duration=duration),
        Window(zone=zone, recurrence="FREQ=DAILY", start="22:00", duration=duration),
    ):
        is_open([window], FRIDAY_NOON)
        closes_at([window], FRIDAY_NOON)
        next_opening([window], FRIDAY_NOON)


# --------------------------------------------------------------------------------------------------------- recurrences

READABLE = [
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=5",
    "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
    "FREQ=DAILY;BYMONTH=1,7;BYMONTHDAY=1,-1",
    "FREQ=WEEKLY;BYDAY=SA,SU",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=SA",
    "FREQ=WEEKLY;INTERVAL=3;BYDAY=SU,MO;WKST=SU",
    "FREQ=WEEKLY;BYMONTH=12;BYDAY=WE",
    "FREQ=MONTHLY;BYDAY=2TU",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYMONTHDAY=31",
    "FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=15",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;INTERVAL=2;BYMONTH=5;BYDAY=1SA",
    "FREQ=YEARLY;BYWEEKNO=1,20,53;BYDAY=MO",
    "FREQ=YEARLY;BYYEARDAY=-1",
    "FREQ=YEARLY;BYDAY=SA;BYSETPOS=1,-1",
]


@pytest.mark.parametrize("text", READABLE)
def test_days_are_those_of_one_unbroken_recurrence_from_the_first_day_on(text: str) -> None:
    """Expanding year by year must give what dateutil gives when it runs through from 1 January 2001."""
    begin, end = datetime(2024, 1, 1), datetime(2032, 12, 31)  # noqa: DTZ001
    from_first_day = rrulestr(text, dtstart=datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day))  # noqa: DTZ001
    expected = [moment.date() for moment in from_first_day.between(begin, end, inc=True)]
    recurrence = read_recurrence(text)
    assert [day for year in range(2024, 2033) for day in days_of(recurrence, year)] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "FREQ=WEEKLY"),
        ("every saturday", "joined by ';'"),
        ("BYDAY=SA", "FREQ must be one of DAILY, WEEKLY, MONTHLY, YEARLY, not missing"),
        ("FREQ=SECONDLY", "not SECONDLY"),
        ("FREQ=WEEKLY", "FREQ=WEEKLY needs BYDAY"),
        ("FREQ=MONTHLY", "needs BYDAY or BYMONTHDAY"),
        ("FREQ=YEARLY;BYMONTH=3", "needs BYDAY or BYMONTHDAY or BYYEARDAY"),
        ("FREQ=WEEKLY;BYDAY=2SA", "use FREQ=MONTHLY"),
        ("FREQ=WEEKLY;BYDAY=SAT", "such as MO or 2TU, not 'SAT'"),
        ("FREQ=WEEKLY;BYDAY=SA;BYDAY=SU", "BYDAY is given twice"),
        ("FREQ=WEEKLY;BYDAY=SA;BYHOUR=22", "the window's 'start'"),
        ("FREQ=WEEKLY;BYDAY=SA;COUNT=4", "recurs without end"),
        ("FREQ=WEEKLY;BYDAY=SA;UNTIL=20270101", "recurs without end"),
        ("FREQ=WEEKLY;BYDAY=SA;INTERVAL=0", "INTERVAL must be"),
        ("FREQ=WEEKLY;BYDAY=SA;WKST=X", "WKST must be one of"),
        ("FREQ=WEEKLY;BYDAY=SA;BYMOON=1", "BYMOON is not a part"),
        ("FREQ=WEEKLY;BYDAY=SA;BYMONTHDAY=1", "cannot be used with FREQ=WEEKLY"),
        ("FREQ=DAILY;BYMONTH=13", "BYMONTH must hold numbers from 1 to 12, not '13'"),
        ("FREQ=DAILY;BYMONTH=-1", "BYMONTH must hold"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY must hold numbers from 1 to 31"),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30", "no such day"),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29", "no such day"),
    ],
)
def test_a_recurrence_that_cannot_be_used_says_why(text: str, message: str) -> None:
    with pytest.raises(UnreadableRecurrence) as caught:
        read_recurrence(text)
    assert message in str(caught.value)


def test_the_property_name_and_lower_case_are_accepted() -> None:
    assert read_recurrence("rrule:freq=weekly;byday=sa") == read_recurrence("FREQ=WEEKLY;BYDAY=SA")


PARTS = [
    *("BYDAY=SA", "BYDAY=-1FR", "BYMONTH=2", "BYMONTHDAY=29", "BYMONTHDAY=-31", "BYWEEKNO=53", "BYYEARDAY=366"),
    *("BYSETPOS=5", "BYSETPOS=-366", "INTERVAL=9999", "INTERVAL=7", "WKST=SU"),
]


@given(
    frequency=st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
    parts=st.lists(
        st.sampled_from(PARTS),
        max_size=5,
        unique=True,
    ),
)
def test_whatever_can_be_read_occurs_within_one_cycle_of_the_calendar(frequency: str, parts: list[str]) -> None:
    try:
        recurrence = read_recurrence(";".join([f"FREQ={frequency}", *parts]))
    except UnreadableRecurrence:
        return
    assert any(days_of(recurrence, year) for year in range(2002, 2030))
