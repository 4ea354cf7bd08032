"""Orchestrations that fail, retries, and the texts in which failures travel."""

import gc
import sys
from datetime import timedelta

import pytest

from tests.localhost.building import clock_at, failure, host_of, instance, outcome_of, output, start, status


async def test_the_text_of_a_failed_activity_has_the_real_wording() -> None:
    async with host_of("failures") as host:
        start(host, "lets_it_fail")
        await host.run_until()
        assert failure(host).startswith(
            "Orchestrator function 'lets_it_fail' failed: Activity function 'refuse' failed:  ValueError: no way \n "
        )


async def test_a_caught_failure_is_a_plain_exception() -> None:
    async with host_of("failures") as host:
        assert await outcome_of(host, "catches") == [
            "Exception",
            "Activity function 'refuse' failed:  ValueError: no way",
        ]


async def test_an_orchestrators_own_error_fails_it() -> None:
    async with host_of("failures") as host:
        start(host, "own_error")
        await host.run_until()
        assert failure(host) == "Orchestrator function 'own_error' failed: my own"


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.0), (1, 60.0), (2, 120.0)])
async def test_a_retry_succeeds_after_the_pauses_between_attempts(failures: int, seconds: float) -> None:
    async with host_of("failures") as host:
        sys.modules["function_app"].left_to_fail["times"] = failures
        assert await outcome_of(host, "retries") == ["done", seconds, "next"]


async def test_exhausted_retries_raise_the_last_error_without_a_last_pause_and_the_code_goes_on() -> None:
    async with host_of("failures") as host:
        sys.modules["function_app"].left_to_fail["times"] = 3
        error = "Activity function 'flaky' failed:  ConnectionError: not yet"
        assert await outcome_of(host, "retries") == [error, 120.0, "next"]


async def test_a_sub_orchestration_is_retried_as_a_new_instance() -> None:
    async with host_of("failures") as host:
        sys.modules["function_app"].left_to_fail["times"] = 1
        assert await outcome_of(host, "retries_child") == "done"
        assert [child.status for child in host.instances() if child.id != "it"] == ["Failed", "Completed"]


async def test_a_parent_gets_the_text_of_its_childs_failure() -> None:
    async with host_of("failures") as host:
        assert await outcome_of(host, "child_fails") == "Orchestrator function 'own_error' failed: my own"


async def test_after_an_early_failure_of_a_fan_out_the_next_action_waits_for_its_siblings() -> None:
    clock = clock_at()
    async with host_of("failures", clock) as host:
        start(host, "one_of_two_fails")
        await host.run_until(limit=timedelta(minutes=59))
        assert status(host) == "Running"
        await host.run_until()
        assert output(host) == 3600.0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("calls_nobody", "The function 'nobody' doesn't exist, is disabled, or is not an activity function."),
        ("returns_a_set", "Object of type set is not JSON serializable"),
        ("calls_http", "the local host does not do call_http"),
    ],
)
async def test_an_impossible_orchestration_fails_with_a_reason(name: str, text: str) -> None:
    async with host_of("failures") as host:
        start(host, name)
        await host.run_until()
        assert text in failure(host)


@pytest.mark.filterwarnings("ignore:coroutine 'coroutine' was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_async_orchestrator_fails_when_it_runs() -> None:
    async with host_of("failures") as host:
        start(host, "coroutine")
        await host.run_until()
        assert "coroutine is not JSON serializable" in failure(host)
        gc.collect()  # the coroutine complains when it is collected; here and not in a later test


async def test_a_failed_instance_can_be_started_again_under_its_id() -> None:
    async with host_of("failures") as host:
        start(host, "own_error")
        await host.run_until()
        first = instance(host).execution_id
        start(host, "retries")
        await host.run_until()
        assert output(host) == ["done", 0.0, "next"]
        assert instance(host).execution_id != first
