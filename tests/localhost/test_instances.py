"""What a client can do to instances: duplicates of a start, terminate, suspend and resume, purge."""

from datetime import timedelta
from pathlib import Path

import pytest

from localhost.client import AlreadyRunning, Filter, Gone, InvalidInstanceId, NotFound, UnknownOrchestrator
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
    write_app,
)


async def test_a_second_start_of_a_running_instance_is_refused_and_changes_nothing() -> None:
    async with host_of("flow") as host:
        start(host, "sleeper", 60)
        with pytest.raises(AlreadyRunning, match="Pending"):
            start(host, "sleeper", 1)
        await host.run_until(limit=timedelta(seconds=1))
        with pytest.raises(AlreadyRunning, match="Running"):
            start(host, "sleeper", 1)
        await host.run_until()
        assert output(host) == 60.0


async def test_a_start_after_the_end_replaces_the_instance() -> None:
    async with host_of("flow") as host:
        await outcome_of(host, "sleeper", 60)
        assert await outcome_of(host, "sleeper", 5) == 5.0
        assert len(host.instances()) == 1


async def test_an_unknown_orchestrator_is_refused() -> None:
    async with host_of("flow") as host:
        with pytest.raises(UnknownOrchestrator, match="nobody"):
            start(host, "nobody")


@pytest.mark.parametrize("instance_id", ["@counter@c", "a/b", "a\\b", "a#b", "a?b", "a\nb", ""])
async def test_an_id_that_azure_does_not_take_is_refused(instance_id: str) -> None:
    async with host_of("flow") as host:
        with pytest.raises(InvalidInstanceId):
            start(host, "sleeper", 1, instance_id)


async def test_orchestrators_are_found_without_regard_to_case() -> None:
    async with host_of("flow") as host:
        assert await outcome_of(host, "Sleeper", 1) == 1.0


async def test_terminate_ends_an_instance_with_its_reason_at_once() -> None:
    clock = clock_at()
    async with host_of("flow", clock) as host:
        start(host, "sleeper", 3600)
        await host.run_until(limit=timedelta(minutes=1))
        host.client.terminate("it", "enough")
        await host.run_until()
        assert (instance(host).status, instance(host).output) == ("Terminated", '"enough"')
        assert clock.now() == MONDAY + timedelta(minutes=1)
        with pytest.raises(Gone):
            host.client.terminate("it", "again")


async def test_a_suspended_instance_hears_everything_only_after_it_is_resumed() -> None:
    clock = clock_at()
    async with host_of("flow", clock) as host:
        start(host, "two_words")
        host.client.suspend("it", "a break")
        raise_event(host, "first", 1)
        raise_event(host, "second", 2)
        await host.run_until()
        assert status(host) == "Suspended"
        host.client.resume("it", "on we go")
        await host.run_until()
        assert output(host) == [1, 2]


async def test_what_the_code_schedules_while_suspended_runs_after_the_resume() -> None:
    async with host_of("flow") as host:
        start(host, "one_after_the_other", 2)
        await host.run_until(lambda: host.stats.episodes == 1)
        host.client.suspend("it", "")
        await host.run_until()
        assert host.stats.activities == 1
        host.client.resume("it", "")
        await host.run_until()
        assert output(host) == 2


async def test_results_for_a_terminated_instance_are_dropped() -> None:
    async with host_of("flow") as host:
        start(host, "one_after_the_other", 2)
        await host.run_until(lambda: host.stats.episodes == 1)
        host.client.terminate("it", "")
        await host.run_until()
        assert host.stats.activities == 1
        assert status(host) == "Terminated"


async def test_a_sub_orchestration_under_a_running_id_fails_clearly_instead_of_hanging() -> None:
    async with host_of("flow") as host:
        start(host, "sleeper", 3600, "it-named")
        start(host, "parent")
        await host.run_until()
        assert "An orchestration instance with the id 'it-named' is already" in failure(host)


async def test_ended_instances_can_be_purged_and_running_ones_not() -> None:
    async with host_of("flow") as host:
        start(host, "two_words", None, "running")
        await outcome_of(host, "sleeper", 1)
        assert host.client.purge("running") == 0
        assert host.client.purge("it") == 1
        with pytest.raises(NotFound):
            host.client.instance("it")
        assert host.client.purge_all(Filter(created_from=MONDAY)) == 0


async def test_a_query_filters_by_prefix_status_and_time() -> None:
    clock = clock_at()
    async with host_of("flow", clock) as host:
        start(host, "sleeper", 60, "a-1")
        await host.run_until()
        start(host, "two_words", None, "a-2")
        start(host, "two_words", None, "b-1")
        await host.run_until()
        assert [each.id for each in host.client.instances(Filter(prefix="a-"))] == ["a-1", "a-2"]
        assert [each.id for each in host.client.instances(Filter(statuses=["Running"]))] == ["a-2", "b-1"]
        assert [each.id for each in host.client.instances(Filter(created_to=MONDAY))] == ["a-1"]


async def test_a_restart_runs_the_same_input_again() -> None:
    async with host_of("flow") as host:
        await outcome_of(host, "sleeper", 7)
        assert host.client.restart("it", with_new_id=False) == "it"
        await host.run_until()
        assert output(host) == 7.0
        again = host.client.restart("it", with_new_id=True)
        await host.run_until()
        assert again != "it"
        assert output(host, again) == 7.0


async def test_changed_code_is_reported_as_non_deterministic(tmp_path: Path) -> None:
    body = """
@app.orchestration_trigger(context_name="context")
def flow(context):
    yield context.call_activity("{name}")
    yield context.wait_for_external_event("go")
@app.activity_trigger(input_name="x")
def one(x): return 1
@app.activity_trigger(input_name="x")
def two(x): return 2
"""
    store = tmp_path / "state.db"
    async with host_of(write_app(tmp_path / "old", body.format(name="one")), store=store) as host:
        start(host, "flow")
        await host.run_until()
        assert status(host) == "Running"
    async with host_of(write_app(tmp_path / "new", body.format(name="two")), store=store) as host:
        raise_event(host, "go")
        await host.run_until()
        assert failure(host).startswith("Non-Deterministic workflow detected: an earlier turn scheduled")
        assert "sequence ID 0 and name 'one'" in failure(host)
