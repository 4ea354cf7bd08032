"""Which rollouts the log tells of regularly, and that nothing stops it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from azure.functions.timer import TimerRequest

from tests.triggers.durable import NOW, Instances, as_client, function_of
from triggers import watching

IMAGE, BACK = "image-gal-win11-2.0.0-0d443e", "back-gal-win11-1.0.0-0d443e"
POOL = {"pool": "office", "version": "2.0.0", "phase": "Rolling", "message": "so it goes"}
WHOLE = {"image": "win11", "version": "2.0.0", "phase": "Rolling", "message": "", "pools": {}}


async def watch(instances: Instances, after: timedelta = timedelta(minutes=5)) -> None:
    timer = TimerRequest(schedule_status={"Last": "0001-01-01T00:00:00+00:00", "Next": (NOW + after).isoformat()})
    async with instances.listed():
        await function_of(watching.watch_rollouts)(timer, as_client(instances))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [" ".join(record.getMessage().split()[1:4]).rstrip(":") for record in caplog.records]


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "goldroll.watch")


async def test_one_line_for_each_rollout_and_host_pool_that_runs(caplog: pytest.LogCaptureFixture) -> None:
    instances = Instances()
    instances.add(IMAGE, customStatus=WHOLE)
    instances.add(f"{IMAGE}:office", "roll_host_pool", customStatus=POOL)
    instances.add(f"{IMAGE}:done", "roll_host_pool", "Completed", customStatus=POOL)
    instances.add("image-gal-win11-1.9.0-0d443e", runtime="Failed", customStatus=WHOLE)
    instances.add(BACK, "roll_back_image", customStatus=WHOLE)
    instances.add("retire-gal-win11-0d443e", "retire_image_versions", customStatus="words")
    await watch(instances)

    assert told(caplog) == [f"{IMAGE} goes on", f"{IMAGE}:office goes on", f"{BACK} goes on"]
    assert {record.levelname for record in caplog.records} == {"INFO"}


async def test_what_somebody_should_look_into_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    instances = Instances()
    instances.add(f"{IMAGE}:office", "roll_host_pool", customStatus=POOL | {"idle": 90_000})
    await watch(instances)

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"rollout {IMAGE}:office is stuck: in 1 d 1 h of work no host has come further; "
        "Rolling, 0 of 0 hosts are done: so it goes"
    )


async def test_where_nothing_runs_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    await watch(Instances())

    assert caplog.records == []


@pytest.mark.parametrize("status", ["words", 7, [1], {"phase": 1}, {"pool": None}, None])
async def test_a_status_that_makes_no_sense_holds_no_other_up(status: Any, caplog: pytest.LogCaptureFixture) -> None:
    instances = Instances()
    instances.add(f"{IMAGE}:attic", "roll_host_pool", customStatus=status)
    instances.add(f"{IMAGE}:office", "roll_host_pool", customStatus=POOL)
    await watch(instances)

    assert told(caplog) == [f"{IMAGE}:attic goes on", f"{IMAGE}:office goes on"]


async def test_rollouts_beyond_the_first_page_are_told_of_and_those_beyond_the_last_are_counted_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAGE", 2)
    monkeypatch.setattr(watching, "MOST_PAGES", 3)
    instances = Instances()
    for number in range(7):
        instances.add(f"{IMAGE}:{number}", "roll_host_pool", customStatus=POOL)
    await watch(instances)

    lines = [record.getMessage() for record in caplog.records]
    assert sum("goes on" in line for line in lines) == 6
    assert "too many rollouts to watch them all: those after the first 6 are left out" in lines[-1]


async def test_what_durable_does_not_answer_fails_the_function() -> None:
    timer = TimerRequest(schedule_status={"Last": "0001-01-01T00:00:00+00:00", "Next": NOW.isoformat()})

    with pytest.raises(Exception, match="127"):
        await function_of(watching.watch_rollouts)(timer, as_client(Instances()))
