"""Entities and continue_as_new."""

import json
from datetime import timedelta

from localhost import EpisodeFinished
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


async def test_signals_and_calls_reach_an_entity_in_order() -> None:
    async with host_of("state") as host:
        assert await outcome_of(host, "counts") == [111, 111]
        assert host.client.entity_state("Counter", "c") == "111"


async def test_an_entitys_state_outlives_the_orchestration() -> None:
    async with host_of("state") as host:
        await outcome_of(host, "counts")
        assert await outcome_of(host, "counts") == [222, 222]


async def test_a_failing_operation_raises_in_the_caller_and_leaves_the_state() -> None:
    async with host_of("state") as host:
        host.client.signal_entity("counter", "c", "add", json.dumps(json.dumps(5)))
        assert await outcome_of(host, "asks_the_impossible") == "no operation divide"
        assert host.client.entity_state("counter", "c") == "5"


async def test_an_entity_that_destructs_itself_is_gone() -> None:
    async with host_of("state") as host:
        host.client.signal_entity("counter", "c", "add", json.dumps(json.dumps(5)))
        host.client.signal_entity("counter", "c", "delete", None)
        await host.run_until()
        assert await outcome_of(host, "counts") == [111, 111]


async def test_a_call_of_an_unknown_entity_fails_the_orchestration() -> None:
    async with host_of("state") as host:
        start(host, "asks_nobody")
        await host.run_until()
        assert "The function 'nobody' doesn't exist" in failure(host)


async def test_continue_as_new_begins_a_new_execution_with_an_empty_history() -> None:
    async with host_of("state") as host:
        turns: list[str] = []
        host.subscribe(lambda event: turns.append(event.status) if isinstance(event, EpisodeFinished) else None)
        assert await outcome_of(host, "counts_down", [3, 0]) == 3
        assert turns == ["Running", "ContinuedAsNew", "Running", "ContinuedAsNew", "Running", "Completed"]
        assert host.stats.max_history == 8


async def test_custom_status_is_reset_by_a_new_execution_that_does_not_set_it() -> None:
    async with host_of("state") as host:
        start(host, "eternal", {"left": 2})
        await host.run_until(limit=timedelta(seconds=30))
        assert json.loads(instance(host).custom_status) == "2 left"
        await host.run_until(limit=timedelta(seconds=60))
        assert json.loads(instance(host).custom_status) == "1 left"
        await host.run_until()
        assert output(host) == {"left": 0}
        assert json.loads(instance(host).custom_status) is None


async def test_an_open_timer_holds_continue_as_new_back() -> None:
    clock = clock_at()
    async with host_of("state", clock) as host:
        assert await outcome_of(host, "eternal", {"left": 1, "straggler": True}) == {"left": 0, "straggler": True}
        assert clock.now() == MONDAY + timedelta(hours=2)


async def test_an_event_after_the_call_of_continue_as_new_is_carried_over() -> None:
    clock = clock_at()
    async with host_of("state", clock) as host:
        start(host, "hears_in_its_second_life", "first")
        clock.call_at(MONDAY + timedelta(minutes=5), lambda: raise_event(host, "word", "hello"))
        await host.run_until()
        assert output(host) == "hello"


async def test_an_event_before_the_call_of_continue_as_new_that_nobody_awaited_is_lost() -> None:
    """preserveUnprocessedEvents is false in the real host and the SDK cannot change it."""
    clock = clock_at()
    async with host_of("state", clock) as host:
        start(host, "hears_in_its_second_life", "first")
        clock.call_at(MONDAY + timedelta(seconds=30), lambda: raise_event(host, "word", "hello"))
        await host.run_until()
        assert output(host) == "silence"


async def test_a_parent_waits_through_all_executions_of_its_child() -> None:
    async with host_of("state") as host:
        assert await outcome_of(host, "parent_of_eternal") == 3
        assert status(host) == "Completed"
