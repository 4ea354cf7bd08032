"""Timer triggers in virtual time, settings, and schedules that cannot be read."""

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from localhost.app import AppError
from tests.localhost.building import MONDAY, clock_at, host_of, instance, write_app

SETTINGS = {"SWEEP": "30 0 9 * * Mon-Fri"}


def seen() -> Any:
    """What the app's functions noted."""
    return sys.modules["function_app"].seen


async def test_a_timer_runs_at_each_occurrence() -> None:
    clock = clock_at()
    async with host_of("web", clock, settings=SETTINGS) as host:
        seen().clear()
        await host.run_until(lambda: False, limit=timedelta(hours=1))
        assert seen() == ["on time"] * 4
        assert clock.now() == MONDAY + timedelta(hours=1)


async def test_a_schedule_may_come_from_an_app_setting_and_seconds_come_first() -> None:
    clock = clock_at()
    async with host_of("web", clock, settings=SETTINGS) as host:
        await host.run_until(lambda: bool(host.instances()))
        assert instance(host, "swept").created == MONDAY + timedelta(hours=1, seconds=30)


async def test_recurring_timers_alone_are_idleness() -> None:
    clock = clock_at()
    async with host_of("web", clock, settings=SETTINGS) as host:
        assert await host.run_until()
        assert clock.now() == MONDAY


async def test_an_occurrence_missed_while_the_host_was_down_runs_once_as_past_due(tmp_path: Path) -> None:
    async with host_of("web", clock_at(), tmp_path / "state.db", settings=SETTINGS) as host:
        await host.run_until(lambda: False, limit=timedelta(minutes=20))
    later = clock_at(MONDAY + timedelta(minutes=50))
    async with host_of("web", later, tmp_path / "state.db", settings=SETTINGS) as host:
        seen().clear()
        await host.run_until(lambda: False, limit=timedelta(minutes=11))
        assert seen() == ["past due", "on time"]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 0 12 13 * Fri", datetime(2026, 3, 13, 12, tzinfo=UTC)),
        ("0 30 9 * Jan Mon", datetime(2027, 1, 4, 9, 30, tzinfo=UTC)),
    ],
)
async def test_both_day_fields_must_match(schedule: str, expected: datetime, tmp_path: Path) -> None:
    clock = clock_at()
    source = f"""
ran = []
@app.timer_trigger(arg_name="t", schedule="{schedule}")
def tick(t: func.TimerRequest):
    ran.append(t)
"""
    async with host_of(write_app(tmp_path, source), clock) as host:
        await host.run_until(lambda: bool(sys.modules["function_app"].ran))
        assert clock.now() == expected


@pytest.mark.parametrize("schedule", ["0 */15 * * *", "every day", "00:15:00", "0 0 25 * * *", "%UNSET%"])
async def test_an_unreadable_schedule_is_refused_with_the_functions_name(schedule: str, tmp_path: Path) -> None:
    source = f'@app.timer_trigger(arg_name="t", schedule="{schedule}")\ndef tick(t: func.TimerRequest): ...\n'
    with pytest.raises(AppError, match="function 'tick'"):
        async with host_of(write_app(tmp_path, source)):
            pass


async def test_local_settings_fill_gaps_and_are_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_app(tmp_path, "import os\n")
    (tmp_path / "local.settings.json").write_text('{"Values": {"LH_A": "file", "LH_B": "file", "LH_C": "file"}}')
    monkeypatch.setenv("LH_B", "environment")
    monkeypatch.delenv("LH_A", raising=False)
    async with host_of(tmp_path, settings={"LH_C": "own"}):
        assert [os.environ[name] for name in ("LH_A", "LH_B", "LH_C")] == ["file", "environment", "own"]
    assert "LH_A" not in os.environ
    assert os.environ["LH_B"] == "environment"


async def test_a_broken_settings_file_is_refused(tmp_path: Path) -> None:
    write_app(tmp_path, "")
    (tmp_path / "local.settings.json").write_text("{")
    with pytest.raises(AppError, match=r"local\.settings\.json is not a settings file"):
        async with host_of(tmp_path):
            pass


async def test_the_route_prefix_comes_from_host_json(tmp_path: Path) -> None:
    source = '@app.route(route="hi", auth_level="anonymous")\ndef hi(req: func.HttpRequest) -> str:\n    return "hi"\n'
    write_app(tmp_path, source)
    (tmp_path / "host.json").write_text('{"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}')
    async with host_of(tmp_path) as host, aiohttp.ClientSession() as http:
        response = await http.get(f"{host.base_url}/hi")
        assert await response.text() == "hi"
