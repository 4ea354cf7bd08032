"""Orchestrations that go well: sequences, fan-out, timers, events, sub-orchestrations, compounds."""

import json
from datetime import timedelta
from typing import Any

import pytest

from localhost import ActivityFinished, EpisodeFinished, InstanceFinished, LogLine
from tests.localhost.building import (
    MONDAY,
    clock_at,
    failure,
    host_of,
    instance,
    outcome_of,
    output,
    raise_event,
    start,
    status,
)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("fan_out", [1, 2, 3], [2, 4, 6]),
        ("one_after_the_other", 4, 12),
        ("loud", "hello", "HELLO"),
        ("returns_at_once", {"a": [1]}, {"a": [1]}),
        ("nested", None, [True, [2, 4]]),
        ("leftovers", None, [1, 2, 0]),
        ("replay_flags", None, [True, True, False]),
    ],
)
async def test_an_orchestration_returns_what_its_code_says(name: str, given: Any, expected: Any) -> None:
    async with host_of("flow") as host:
        assert await outcome_of(host, name, given) == expected


async def test_the_results_of_a_fan_out_arrive_in_one_episode_and_its_activities_run_in_order() -> None:
    async with host_of("flow") as host:
        ran = []
        host.subscribe(
            lambda event: ran.append(json.loads(event.input)) if isinstance(event, ActivityFinished) else None
        )
        await outcome_of(host, "fan_out", [3, 1, 2])
        assert ran == [3, 1, 2]
        assert host.stats.episodes == 2


async def test_a_timer_takes_exactly_its_time_and_no_real_time() -> None:
    async with host_of("flow", clock := clock_at()) as host:
        assert await outcome_of(host, "sleeper", 90.5) == 90.5
        assert clock.now() == MONDAY + timedelta(seconds=90.5)


async def test_a_timer_of_fourteen_days_is_split_by_the_sdk_and_fires_on_time() -> None:
    async with host_of("flow") as host:
        start(host, "sleeper", 14 * 86400)
        await host.run_until(lambda: host.client.instance("it").is_finished)
        assert output(host) == 14 * 86400.0
        created = [event for event in host.client.history("it") if event["EventType"] == 10]
        assert len(created) == 4


async def test_an_event_before_the_timer_wins_and_the_cancelled_timer_does_not_hold_the_end_back() -> None:
    clock = clock_at()
    async with host_of("flow", clock) as host:
        start(host, "approval")
        clock.call_at(MONDAY + timedelta(minutes=5), lambda: raise_event(host, "approved", {"by": "Ann"}))
        await host.run_until(lambda: status(host) == "Completed")
        assert output(host) == {"by": "Ann"}
        assert clock.now() == MONDAY + timedelta(minutes=5)


async def test_an_uncancelled_timer_keeps_the_instance_running_until_it_fires() -> None:
    clock = clock_at()
    async with host_of("flow", clock) as host:
        start(host, "approval", "leave the timer")
        raise_event(host, "approved", 1)
        await host.run_until(limit=timedelta(minutes=59))
        assert status(host) == "Running"
        await host.run_until()
        assert output(host) == 1
        assert clock.now() == MONDAY + timedelta(hours=1)


async def test_the_timer_wins_when_no_event_comes() -> None:
    async with host_of("flow") as host:
        assert await outcome_of(host, "approval") == "too late"


async def test_an_event_that_comes_before_anybody_waits_is_kept() -> None:
    async with host_of("flow") as host:
        start(host, "late_listener")
        raise_event(host, "word", "early")
        await host.run_until()
        assert output(host) == "early"


async def test_two_different_events_may_come_before_they_are_awaited() -> None:
    async with host_of("flow") as host:
        start(host, "two_words")
        raise_event(host, "first", 1)
        raise_event(host, "second", 2)
        await host.run_until()
        assert output(host) == [1, 2]


async def test_an_event_of_the_sdks_client_arrives_as_json_text() -> None:
    """The SDK's client encodes twice; a plain HTTP request does not."""
    async with host_of("flow") as host:
        start(host, "late_listener")
        host.client.raise_event("it", "word", json.dumps(json.dumps({"a": 1})))
        await host.run_until()
        assert output(host) == '{"a": 1}'


async def test_children_run_with_ids_of_their_own_and_know_their_parent() -> None:
    async with host_of("flow") as host:
        assert await outcome_of(host, "parent") == [["A", "it"], ["B", "it"]]
        parent = instance(host)
        assert [child.id for child in host.instances() if child.id != "it"] == [f"{parent.execution_id}:0", "it-named"]


async def test_custom_status_is_what_the_latest_episode_set_and_vanishes_when_it_is_not_set() -> None:
    async with host_of("flow") as host:
        start(host, "reports")
        await host.run_until(limit=timedelta(seconds=30))
        assert json.loads(instance(host).custom_status) == {"step": 1}
        await host.run_until(limit=timedelta(seconds=60))
        assert json.loads(instance(host).custom_status) == {"step": 2}
        await host.run_until()
        assert instance(host).status == "Completed"


async def test_a_custom_status_beyond_azures_limit_fails_the_orchestration() -> None:
    async with host_of("flow") as host:
        start(host, "talkative", 8_000, "short")
        start(host, "talkative", 9_000, "long")
        await host.run_until()
        assert status(host, "short") == "Completed"
        assert "larger than 16 KB" in failure(host, "long")


async def test_ids_and_times_are_the_same_on_every_replay() -> None:
    async with host_of("flow") as first, host_of("flow") as second:
        once, again = await outcome_of(first, "names_things"), await outcome_of(second, "names_things")
        assert once == again
        assert once[0][2] == str(MONDAY)
        assert once[1][1] == str(MONDAY + timedelta(minutes=1))


async def test_a_start_without_id_gets_a_new_one_each_time() -> None:
    async with host_of("flow") as host:
        ids = [host.client.start("returns_at_once", None, "null") for _ in range(3)]
        await host.run_until()
        assert len({*ids}) == 3
        assert all(status(host, instance_id) == "Completed" for instance_id in ids)


async def test_listeners_hear_of_episodes_activities_ends_and_log_lines() -> None:
    async with host_of("flow") as host:
        heard: list[object] = []
        host.subscribe(heard.append)
        await outcome_of(host, "one_after_the_other", 1)
        kinds = [type(event) for event in heard if not isinstance(event, LogLine)]
        assert kinds == [EpisodeFinished, ActivityFinished, EpisodeFinished, InstanceFinished]
        assert host.stats.activities == 1
        assert host.stats.max_history == 8


async def test_call_at_runs_in_order_of_time_and_call_and_before_later_timers() -> None:
    clock, order = clock_at(), []

    async def later() -> None:
        order.append("async")

    async with host_of("flow", clock) as host:
        clock.call_at(MONDAY + timedelta(minutes=2), lambda: order.append("two"))
        clock.call_at(MONDAY + timedelta(minutes=1), lambda: order.append("one"))
        clock.call_at(MONDAY + timedelta(minutes=2), later)
        start(host, "sleeper", 90)
        host.subscribe(lambda event: order.append("timer") if isinstance(event, InstanceFinished) else None)
        assert await host.run_until()
    assert order == ["one", "timer", "two", "async"]


async def test_a_pacing_hook_sees_every_step_of_time() -> None:
    clock, steps = clock_at(), []

    async def note(start: object, end: object) -> None:
        steps.append((start, end))

    clock.before_advance = note
    async with host_of("flow", clock) as host:
        await outcome_of(host, "sleeper", 60)
    assert steps == [(MONDAY, MONDAY + timedelta(seconds=60))]


async def test_time_moves_to_the_limit_even_when_nothing_happens() -> None:
    clock = clock_at()
    async with host_of("flow", clock) as host:
        assert await host.run_until(lambda: False, limit=timedelta(hours=1)) is False
        assert clock.now() == MONDAY + timedelta(hours=1)


async def test_a_request_during_a_paced_step_does_not_end_the_run_early() -> None:
    clock, interruptions = clock_at(), [True]

    async def interrupt(begin: object, end: object) -> None:
        if interruptions and interruptions.pop():
            start(host, "returns_at_once", None, "other")

    clock.before_advance = interrupt
    async with host_of("flow", clock) as host:
        await host.run_until(lambda: False, limit=timedelta(hours=1))
        assert clock.now() == MONDAY + timedelta(hours=1)
        assert status(host, "other") == "Completed"


async def test_run_until_gives_up_at_its_limit_and_when_nothing_can_happen() -> None:
    clock = clock_at()
    async with host_of("flow", clock) as host:
        start(host, "two_words")
        assert await host.run_until(lambda: False) is False
        start(host, "sleeper", 600, "other")
        assert await host.run_until(lambda: False, limit=timedelta(seconds=10)) is False
        assert clock.now() == MONDAY + timedelta(seconds=10)


async def test_a_run_repeats_event_for_event() -> None:
    async def run() -> list[list[dict[str, Any]]]:
        async with host_of("flow") as host:
            start(host, "parent", None, "p")
            start(host, "nested", None, "n")
            await host.run_until()
            return [host.client.history(each.id) for each in host.instances()]

    assert await run() == await run()
