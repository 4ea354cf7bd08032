"""The three clocks, and the host on time that runs by itself."""

import asyncio
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from localhost import Host, RealClock, ScaledClock, VirtualClock
from localhost.clock import pace
from tests.localhost.building import APPS, MONDAY, output, start, write_app


def fast_clock() -> ScaledClock:
    """An hour passes in a tenth of a second."""
    return ScaledClock(datetime.now(UTC), MONDAY, 36_000)


def test_scaled_time_is_a_function_of_real_time_and_three_numbers() -> None:
    origin = datetime.now(UTC) - timedelta(seconds=10)
    first, second = ScaledClock(origin, MONDAY, 60), ScaledClock(origin, MONDAY, 60)
    assert abs(first.now() - second.now()) < timedelta(seconds=30)
    assert MONDAY + timedelta(minutes=10) <= first.now() < MONDAY + timedelta(minutes=20)


@pytest.mark.parametrize("speed", [0, -1])
def test_time_cannot_stand_still_or_run_backwards(speed: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        ScaledClock(MONDAY, MONDAY, speed)


def test_virtual_time_starts_at_an_aware_moment() -> None:
    with pytest.raises(ValueError, match="aware"):
        VirtualClock(MONDAY.replace(tzinfo=None))


@pytest.mark.parametrize("clock", [RealClock(), fast_clock()])
async def test_a_sleep_ends_when_it_is_woken_or_the_moment_has_passed(clock: RealClock | ScaledClock) -> None:
    wake = asyncio.Event()
    await clock.sleep_until(clock.now() - timedelta(days=1), wake)
    wake.set()
    await clock.sleep_until(None, wake)
    await clock.sleep_until(clock.now() + timedelta(days=10_000), wake)


async def test_virtual_time_stays_where_it_is_when_the_pacing_hook_is_interrupted() -> None:
    clock, wake = VirtualClock(MONDAY), asyncio.Event()

    async def interrupted(start: datetime, end: datetime) -> None:
        wake.set()

    clock.before_advance = interrupted
    await clock.sleep_until(MONDAY + timedelta(hours=1), wake)
    assert clock.now() == MONDAY


async def test_a_pace_hook_takes_real_time_in_proportion() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await pace(3600)(MONDAY, MONDAY + timedelta(minutes=1))
    assert 60 / 3600 <= loop.time() - before < 1


async def test_a_host_on_scaled_time_works_by_itself(tmp_path: Path) -> None:
    async with Host(APPS / "flow", fast_clock(), tmp_path / "state.db", 0) as host:
        start(host, "parent")
        assert await host.run_until(lambda: host.client.instance("it").is_finished, limit=timedelta(hours=5))
        assert output(host) == [["A", "it"], ["B", "it"]]
        start(host, "sleeper", 600, "another")
        assert await host.run_until()
        assert output(host, "another") >= 600.0


async def test_on_scaled_time_activities_run_beside_each_other_in_threads(tmp_path: Path) -> None:
    source = """
import threading
both = threading.Barrier(2, timeout=10)
@app.activity_trigger(input_name="x")
def meet(x):
    both.wait()
    return threading.current_thread().name
@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.task_all([context.call_activity("meet", 1), context.call_activity("meet", 2)]))
"""
    async with Host(write_app(tmp_path, source), fast_clock(), ":memory:", 0) as host:
        start(host, "flow")
        await host.run_until(lambda: host.client.instance("it").is_finished)
        assert threading.main_thread().name not in output(host)
        assert len({*output(host)}) == 2


async def test_timer_triggers_run_on_scaled_time() -> None:
    async with Host(APPS / "web", fast_clock(), ":memory:", 0, settings={"SWEEP": "0 0 3 * * *"}) as host:
        ran = sys.modules["function_app"].seen
        ran.clear()
        assert await host.run_until(lambda: len(ran) >= 3, limit=timedelta(hours=50))
        assert {*ran} == {"on time"}
