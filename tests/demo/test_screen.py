"""What a terminal shows: bars that add up, colours, the closing table."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from demo.__main__ import Pace
from demo.run import Run
from demo.screen import BAR_WIDTH, Screen, bars, duration, styled
from demo.sight import PoolSight, Sight
from demo.story import Line
from tests.scenarios.small import small_rollout

MORNING = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


def a_sight(**counts: int) -> Sight:
    fields = {"hosts": 12, "current": 3, "leaving": 2, "coming": 1, "quarantined": 0, "free": 40, "reserve": 18}
    fields = {**fields, "slots": 120, "people": 70, **counts}
    pool = PoolSight(name="office", phase="Rolling", message="3 of 12", version="2.0.0", **fields)
    return Sight(MORNING, (pool,))


def shown(sight: Sight, *, ascii_only: bool = False) -> str:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    with console.capture() as capture:
        console.print(bars(sight, ascii_only=ascii_only))
    return capture.get()


def test_the_bars_name_what_they_count() -> None:
    text = shown(a_sight())
    assert "3 current, 2 leaving, 1 on their way, 7 to do" in text
    assert "70 people, 40 slots free, 18 in reserve" in text
    assert "Monday 08:30" in text


def test_a_full_pool_fills_its_bar_to_the_last_cell() -> None:
    text = shown(a_sight(current=12, leaving=0, coming=0), ascii_only=True)
    assert "#" * BAR_WIDTH in text
    assert "#" * (BAR_WIDTH + 1) not in text


def test_an_empty_pool_and_a_pool_without_slots_are_shown_as_well() -> None:
    nothing = a_sight(hosts=0, current=0, leaving=0, coming=0, free=0, slots=0, people=0, reserve=0)
    assert "0 current" in shown(nothing)


def test_a_console_without_unicode_gets_bars_it_can_draw() -> None:
    shown(a_sight(quarantined=1), ascii_only=True).encode("ascii")


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(minutes=7), "7 min"),
        (timedelta(hours=9, minutes=5, seconds=20), "9 h 05 min"),
        (timedelta(hours=30), "30 h 00 min"),
    ],
)
def test_a_span_is_told_in_hours_and_minutes(span: timedelta, text: str) -> None:
    assert duration(span) == text


def test_a_line_keeps_its_words_in_colours() -> None:
    line = Line(MORNING, "office", "wave 2: draining avd-003 (5 sessions)")
    assert styled(line).plain == str(line)


async def test_the_screen_shows_the_story_and_leaves_the_table_behind() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, color_system="truecolor", width=120, legacy_windows=False)
    with Screen(console) as screen:
        await Run(small_rollout(), audience=screen).play()
    text = written.getvalue()
    assert "the canary avd-003 has passed" in text
    assert "slots free" in text
    assert "people signed out twice" in text


async def test_a_pace_holds_time_back_and_does_not_wait_for_what_was_late_anyway() -> None:
    pace = Pace(3600 * 1000)
    await pace(MORNING, MORNING + timedelta(hours=1))
    await pace(MORNING + timedelta(hours=1), MORNING + timedelta(hours=2))
