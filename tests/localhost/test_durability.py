"""Crashes, duplicates, losses and delays: an instance ends as if nothing had happened."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from localhost import (
    ActivityCall,
    CrashHost,
    DelayResult,
    DropResult,
    Host,
    HostCrashed,
    Raise,
    RunTwice,
    VirtualClock,
)
from localhost.faults import Fault
from localhost.store import StoreError
from tests.localhost.building import MONDAY, clock_at, host_of, instance, outcome_of, output, raise_event, start, status

# One of each: activities, sub-orchestrations, timers, events, entities, new executions, retries.
SITUATIONS: list[tuple[str, str, Any]] = [
    ("flow", "fan_out", [1, 2, 3]),
    ("flow", "one_after_the_other", 3),
    ("flow", "parent", None),
    ("flow", "nested", None),
    ("state", "counts", None),
    ("state", "counts_down", [3, 0]),
    ("failures", "retries", None),
    ("failures", "child_fails", None),
]


class CrashAtCommit:
    """Kills the host before or after the n-th commit of all runs together; counts the commits of an undisturbed run."""

    def __init__(self, at: int | None = None, moment: str = "before") -> None:
        self.count = 0
        self._at, self._moment = at, moment

    def __call__(self, moment: str, label: str) -> None:
        if moment == "before":
            self.count += 1
        if self.count == self._at and moment == self._moment:
            self._at = None
            raise HostCrashed(f"{moment} commit {self.count} ({label})")


async def run_through_crashes(
    app: str, name: str, given: Any, clock: VirtualClock, store: Path, on_commit: Callable[[str, str], None]
) -> Any:
    """Start (again, when the start was lost) and run until the end, restarting the host after every crash."""
    for _ in range(3):
        try:
            async with host_of(app, clock, store, on_commit=on_commit) as host:
                if not host.instances("it"):
                    start(host, name, given)
                await host.run_until()
                return [output(host), [each.status for each in host.instances()]]
        except HostCrashed:
            continue
    raise AssertionError("crashed more often than asked to")


@pytest.mark.parametrize(("app", "name", "given"), SITUATIONS)
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_at_any_commit_changes_nothing_in_the_end(
    app: str, name: str, given: Any, moment: str, tmp_path: Path
) -> None:
    counting = CrashAtCommit()
    expected = await run_through_crashes(app, name, given, clock_at(), tmp_path / "calm.db", counting)
    assert counting.count > 2
    for commit in range(1, counting.count + 1):
        crash = CrashAtCommit(commit, moment)
        got = await run_through_crashes(app, name, given, clock_at(), tmp_path / f"{commit}.db", crash)
        assert got == expected, f"crash {moment} commit {commit}"


async def test_a_crash_after_an_activity_ran_runs_it_again(tmp_path: Path) -> None:
    def crash_once(moment: str, call: ActivityCall) -> Fault | None:
        return CrashHost() if moment == "after" and call.input == "1" else None

    store, clock = tmp_path / "state.db", clock_at()
    async with host_of("flow", clock, store, faults=crash_once) as host:
        sys.modules["function_app"].runs.clear()
        start(host, "one_after_the_other", 3)
        with pytest.raises(HostCrashed):
            await host.run_until()
    async with host_of("flow", clock, store) as host:
        await host.run_until()
        assert output(host) == 6
        assert sys.modules["function_app"].runs == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("moment", "fault", "runs", "ends_after"),
    [
        ("before", RunTwice(), 2, timedelta(0)),
        ("after", DropResult(), 2, timedelta(minutes=5)),
        ("after", DropResult(timedelta(minutes=1)), 2, timedelta(minutes=1)),
        ("after", DelayResult(timedelta(hours=3)), 1, timedelta(hours=3)),
    ],
)
async def test_a_result_may_come_twice_be_lost_or_come_late(
    moment: str, fault: Fault, runs: int, ends_after: timedelta
) -> None:
    def once(when: str, call: ActivityCall) -> Fault | None:
        return fault if when == moment and call.number == 1 else None

    clock = clock_at()
    async with host_of("flow", clock, faults=once) as host:
        sys.modules["function_app"].runs.clear()
        assert await outcome_of(host, "fan_out", [7]) == [14]
        assert sys.modules["function_app"].runs == [7] * runs
        assert clock.now() == MONDAY + ends_after


async def test_an_activity_can_be_made_to_raise() -> None:
    def once(when: str, call: ActivityCall) -> Fault | None:
        return Raise("ConnectionError: not now") if when == "before" and call.number == 1 else None

    async with host_of("failures", faults=once) as host:
        sys.modules["function_app"].left_to_fail["times"] = 0
        assert await outcome_of(host, "retries") == ["done", 60.0, "next"]


class RandomFaults:
    """Seeded trouble around activities: crashes, duplicates, losses and delays, until there has been enough of it."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._left = 8

    def __call__(self, moment: str, call: ActivityCall) -> Fault | None:
        if not self._left or self._random.random() < 0.4:
            return None
        self._left -= 1
        before: list[Fault] = [CrashHost(), RunTwice()]
        after: list[Fault] = [CrashHost(), DropResult(), DelayResult(timedelta(minutes=7))]
        return self._random.choice(before if moment == "before" else after)


@pytest.mark.parametrize("seed", range(20))
async def test_no_mixture_of_faults_changes_the_result(seed: int, tmp_path: Path) -> None:
    clock, faults = clock_at(), RandomFaults(seed)
    wanted = {"fan_out": ([1, 2, 3], [2, 4, 6]), "one_after_the_other": (4, 12), "nested": (None, [True, [2, 4]])}
    for _ in range(10):
        with suppress(HostCrashed):
            async with host_of("flow", clock, tmp_path / "state.db", faults=faults) as host:
                for name, (given, _expected) in wanted.items():
                    if not host.instances(name):
                        start(host, name, given, name)
                await host.run_until()
                assert {name: output(host, name) for name in wanted} == {n: each[1] for n, each in wanted.items()}
                return
    raise AssertionError("more crashes than faults")


async def test_a_timer_that_came_due_while_the_host_was_down_fires_at_the_restart(tmp_path: Path) -> None:
    async with host_of("flow", clock_at(), tmp_path / "state.db") as host:
        start(host, "sleeper", 60)
        await host.run_until(limit=timedelta(seconds=1))
    async with host_of("flow", clock_at(MONDAY + timedelta(hours=5)), tmp_path / "state.db") as host:
        await host.run_until()
        assert output(host) == 5 * 3600.0


async def test_a_late_result_of_an_old_execution_is_dropped(tmp_path: Path) -> None:
    def delay_first(moment: str, call: ActivityCall) -> Fault | None:
        return DelayResult(timedelta(hours=1)) if moment == "after" and call.number == 1 else None

    async with host_of("flow", faults=delay_first) as host:
        start(host, "one_after_the_other", 1)
        await host.run_until(lambda: host.stats.activities == 1)
        host.client.terminate("it", "")
        await host.run_until(lambda: status(host) == "Terminated")
        start(host, "two_words")
        await host.run_until()
        assert [event["EventType"] for event in host.client.history("it")] == [12, 0, 13]


async def test_what_was_answered_survives_the_end_of_the_process(tmp_path: Path) -> None:
    store = tmp_path / "state.db"
    async with host_of("flow", store=store) as host:
        start(host, "two_words")
        await host.run_until()
        raise_event(host, "first", 1)
    async with host_of("flow", store=store) as host:
        raise_event(host, "second", 2)
        await host.run_until()
        assert output(host) == [1, 2]
        assert json.loads(instance(host).input) is None


async def test_two_hosts_cannot_share_a_state_file(tmp_path: Path) -> None:
    async with host_of("flow", store=tmp_path / "state.db"):
        with pytest.raises(StoreError, match="is another host using it"):
            async with host_of("flow", store=tmp_path / "state.db"):
                pass


async def test_a_state_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        async with host_of("flow", store=tmp_path / "state.db"):
            pass


async def test_a_crash_during_a_request_leaves_the_client_without_an_answer(tmp_path: Path) -> None:
    crash = CrashAtCommit()
    async with host_of("flow", store=tmp_path / "state.db", on_commit=crash) as host:
        crash._at, crash._moment = crash.count + 1, "before"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"{host.base_url}/durabletask/orchestrators/sleeper/it")
        with pytest.raises(HostCrashed):
            await host.run_until()
    async with Host(Path(__file__).parent / "apps" / "flow", clock_at(), tmp_path / "state.db", 0) as host:
        assert host.instances() == []
