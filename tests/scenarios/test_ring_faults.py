"""Whatever happens around an activity of a rollout with rings, it ends as it would have: the version is the latest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from demo.outcomes import hosts_are_current, pool_keeps_its_size
from demo.policies import policy_text
from demo.ring_scenarios import QUIET, version_carries
from demo.run import Run
from demo.scenario import MORNING, Outcome, Scenario, Stage
from rollout.verdicts import Verdict
from simulator.galleries import Flaws
from simulator.log_analytics import Asked, Result, one
from tests.scenarios.test_faults_of_the_host import FAULTS, OncePerKind

OF_RINGS = {"read_image_version", "read_pool_regions", "judge_hosts", "mark_version", "run_smoke_test", "query_logs"}

WORKSPACE = "10905a11-0000-4000-8000-000000000002"
QUERY = "Errors | where Version == goldroll_version | count"
GATES = {
    "approval": {},
    "health": {},
    "smoke_test": {"script": "exit 0"},
    "queries": {"errors": {"workspace_id": WORKSPACE, "query": QUERY, "at_most": 0}},
}


def _no_errors(asked: Asked) -> Result:
    """Of version 2.0.0 there are none."""
    return one(0 if asked.lets == {"goldroll_version": '"2.0.0"'} else 99)


def _set_two_rings(stage: Stage) -> None:
    test = stage.office("test", hosts=2, people=0)
    stage.office("office", hosts=2, people=0, image_of=test)
    stage.estate.workspaces.add(WORKSPACE).knows[QUERY] = _no_errors
    stage.publish("08:10", test, "2.0.0", takes={test.region: timedelta(0)})
    stage.answer("14:00", "approve", "it works", day=0)


TWO_RINGS = Scenario(
    name="two_rings",
    title="Two small rings",
    about="Two pools of two hosts, an approval in the afternoon, hosts that are judged, a version that earns latest.",
    policy=policy_text(
        "test",
        "office",
        image="test",
        latest="earned",
        rings=[
            {"name": "validation", "host_pools": ["test"], "gates": GATES},
            {"name": "people", "host_pools": ["office"], "gates": {"health": {}}},
        ],
        **QUIET,
    ),
    set_the_stage=_set_two_rings,
    outcome=Outcome(
        "Succeeded",
        {"test": "Succeeded", "office": "Succeeded"},
        checks=(hosts_are_current(4), pool_keeps_its_size, version_carries(Verdict.GOOD, excluded=False)),
    ),
    begins=MORNING,
    lasts_at_most=timedelta(hours=24),
)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_rollout_with_rings_survives_every_fault_around_its_activities(fault: str, tmp_path: Path) -> None:
    faults = OncePerKind(*FAULTS[fault])
    result = await Run(TWO_RINGS, activity_faults=faults, store=tmp_path / "store.db").play()

    assert result.problems == ()
    assert result.violations == ()
    assert faults.struck >= OF_RINGS
    assert sum("approves ring validation" in line.sentence for line in result.story) == 1


async def test_an_image_that_starts_and_cannot_serve_is_stopped_by_the_smoke_test() -> None:
    def publish_a_bad_one(stage: Stage) -> None:
        test = stage.office("test", hosts=2, people=0)
        stage.office("office", hosts=2, people=0, image_of=test)
        takes = {test.region: timedelta(0)}
        stage.publish("08:10", test, "2.0.0", takes=takes, flaws=Flaws(smoke_test_fails=True))

    outcome = Outcome(
        "Halted",
        {"test": "Succeeded", "office": "Blocked"},
        checks=(hosts_are_current(2), version_carries(Verdict.FAILED, excluded=True)),
    )
    result = await Run(replace(TWO_RINGS, set_the_stage=publish_a_bad_one, outcome=outcome)).play()

    assert result.problems == ()
    assert result.message.endswith("exit code 1: The smoke test failed.")
