"""Too few replicas through the whole app: what the rollout does about it, and that the simulated Azure would notice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from demo.outcomes import hosts_are_current, made_at_once, replicas_are, replicas_were_enough, story_tells
from demo.policies import policy_text
from demo.result import Result
from demo.run import play
from demo.scenario import Check, Outcome, Stage
from demo.scenarios import SCENARIOS
from simulator.galleries import GOOD, Flaws

HOSTS = 30
"""More than the twenty VMs that one replica carries, in a pool that takes half the time of the demo's sixty."""


def _set(stage: Stage, flaws: Flaws) -> None:
    office = stage.office(hosts=HOSTS, people=10)
    stage.publish("18:10", office, "2.0.0", flaws=flaws)


async def roll(replication: dict[str, Any], *checks: Check, phase: str = "Succeeded", flaws: Flaws = GOOD) -> Result:
    """All hosts at once, one replica, under this replication policy."""
    scenario = replace(
        SCENARIOS["replica_shortage"],
        policy=policy_text(
            "office",
            replication=replication,
            surge="100%",
            max_wave="100%",
            max_creating=HOSTS,
            drain={"grace": "PT30M", "reminders": ["PT15M"]},
        ),
        set_the_stage=lambda stage: _set(stage, flaws),
        outcome=Outcome(phase, {"office": phase}, checks=checks),
    )
    return await play(scenario)


async def test_without_leave_to_raise_them_fewer_vms_are_made_at_once() -> None:
    result = await roll(
        {},
        hosts_are_current(HOSTS),
        made_at_once(at_least=15, at_most=20),
        replicas_were_enough,
        replicas_are(1),
        story_tells("uksouth has 1 replica of version 2.0.0, enough for 20 VMs at once, and 30 may be made at once"),
    )
    assert (result.problems, result.violations) == ((), ())


async def test_a_policy_that_overrates_a_replica_gets_slow_vms() -> None:
    result = await roll(
        {"vms_per_replica": HOSTS}, hosts_are_current(HOSTS), made_at_once(at_least=25), replicas_are(1)
    )

    assert (result.problems, result.violations) == ((), ())
    assert "made more slowly" in replicas_were_enough(result)
    assert any("each takes longer" in line.sentence for line in result.story)


async def test_replicas_are_put_back_when_the_rollout_halts() -> None:
    result = await roll(
        {"raise_replicas": True},
        story_tells("uksouth gets 2 replicas instead of 1"),
        story_tells("uksouth has 1 replica again"),
        replicas_are(1),
        phase="Halted",
        flaws=Flaws(unhealthy=True),
    )
    assert (result.problems, result.violations) == ((), ())


async def test_replicas_that_somebody_else_has_changed_meanwhile_are_left_to_them() -> None:
    others = 7
    scenario = SCENARIOS["replica_shortage"]

    def set_the_stage(stage: Stage) -> None:
        office = stage.office(hosts=HOSTS, people=10)
        stage.publish("18:10", office, "2.0.0")
        galleries = stage.estate.galleries
        stage.at("19:00", lambda: galleries.update(office.version_id("2.0.0"), regions={office.region: others}))

    policy = policy_text(
        "office",
        replication={"raise_replicas": True},
        surge="100%",
        max_wave="100%",
        max_creating=HOSTS,
        drain={"grace": "PT30M", "reminders": ["PT15M"]},
    )
    outcome = Outcome("Succeeded", {"office": "Succeeded"}, checks=(replicas_are(others),))
    result = await play(replace(scenario, policy=policy, set_the_stage=set_the_stage, outcome=outcome))

    assert (result.problems, result.violations) == ((), ())
