"""Whatever happens around an activity, the rollout ends as it would have: nothing lost, nothing done twice."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from demo.result import Result
from demo.run import Run
from demo.scenario import Scenario
from localhost import ActivityCall, CrashHost, DelayResult, DropResult, RunTwice
from localhost.faults import Fault, Moment
from simulator.galleries import Flaws
from tests.scenarios.small import small_rollout

HAPPY = small_rollout()
HALTED = small_rollout(phase="Halted", flaws=Flaws(unhealthy=True))

OF_A_HAPPY_ROLLOUT = {
    "decide_turn",
    "install_agent",
    "join_host",
    "notify_sessions",
    "provision_host",
    "read_image_version",
    "read_pool_regions",
    "release_host",
    "remove_host",
    "sign_out_sessions",
    "start_draining",
    "stop_draining",
    "write_record",
}

FAULTS: dict[str, tuple[Moment, Fault]] = {
    "the host crashes before it": ("before", CrashHost()),
    "the host crashes after it": ("after", CrashHost()),
    "it runs twice": ("before", RunTwice()),
    "its result is lost": ("after", DropResult()),
    "its result is late": ("after", DelayResult(timedelta(minutes=4))),
}


class OncePerKind:
    """Lets a fault strike the first run of an activity of every kind."""

    def __init__(self, moment: Moment, fault: Fault) -> None:
        self.struck: set[str] = set()
        self._moment, self._fault = moment, fault

    def __call__(self, moment: Moment, call: ActivityCall) -> Fault | None:
        """The fault, where it is due."""
        if moment != self._moment or call.name in self.struck:
            return None
        self.struck.add(call.name)
        return self._fault


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_rollout_ends_well_whatever_happens_around_each_kind_of_activity(fault: str, tmp_path: Path) -> None:
    once = OncePerKind(*FAULTS[fault])
    await _ends_well(HAPPY, once, tmp_path)
    assert once.struck == OF_A_HAPPY_ROLLOUT


@pytest.mark.parametrize("fault", ["the host crashes after it", "it runs twice"])
async def test_a_halted_rollout_ends_well_whatever_happens_around_its_activities(fault: str, tmp_path: Path) -> None:
    once = OncePerKind(*FAULTS[fault])
    result = await _ends_well(HALTED, once, tmp_path)
    assert "quarantine_host" in once.struck
    assert [pool.quarantined for pool in result.pools] == [("avd-003",)]


async def test_a_host_that_crashes_at_every_tenth_activity_still_brings_the_rollout_to_its_end(tmp_path: Path) -> None:
    def crash(moment: Moment, call: ActivityCall) -> Fault | None:
        return CrashHost() if moment == "after" and call.number == 10 else None

    run = Run(HAPPY, activity_faults=crash, store=tmp_path / "store.db")
    result = await run.play()
    assert (result.problems, result.violations) == ((), ())
    assert run.crashes > 5


async def _ends_well(scenario: Scenario, faults: OncePerKind, folder: Path) -> Result:
    run = Run(scenario, activity_faults=faults, store=folder / "store.db")
    result = await run.play()
    assert (result.problems, result.violations) == ((), ())
    assert run.watch.turns > 0
    return result
