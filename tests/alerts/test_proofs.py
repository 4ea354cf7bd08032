"""Every alert has a scenario in the simulator that raises its signal, and one that comes near and does not.

In each the whole app runs against the simulated Azure, and what it logs is asked by the deployed query, at the rule's
own times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any

import msgspec
import pytest

from demo.policies import policy_text
from demo.ring_scenarios import QUIET
from demo.scenario import Outcome, Stage
from localhost import ActivityCall, Raise
from localhost.faults import Fault, Moment
from rollout.commands import Command
from rollout.model import Phase
from rollout.policy import hours, minutes
from rollout.pool import tell
from rollout.status import pool_status
from rollout.watching import Watched, watch_line
from simulator.builders import Office
from simulator.faults import Chance, Site
from simulator.galleries import Flaws
from simulator.receivers import TOPIC, Topic
from tests.alerts.rules import deployed
from tests.alerts.telemetry import Observed, Raised, Telemetry
from tests.rollout.builders import a_policy, a_pool, hosts_named
from tests.rollout.world import World
from tests.scenarios.small import POLICY, small_rollout
from tests.scenarios.test_ring_faults import GATES, TWO_RINGS


@dataclass(frozen=True)
class Proof:
    """A run that raises an alert, one that comes near and does not, and why the latter is no case for it."""

    raises: Callable[[], Observed]
    does_not: Callable[[], Observed]
    near: str


# ---------------------------------------------------------------------------------------------------------- scenarios


def good() -> Observed:
    """An ordinary rollout."""
    return Observed(small_rollout())


def bad_image() -> Observed:
    """The canary never becomes healthy."""
    return Observed(small_rollout(phase="Halted", flaws=Flaws(unhealthy=True)))


def rings(answer_at: str, *, passes: bool = True) -> Callable[[], Observed]:
    """Two rings, with an approval that has a deadline of eight hours and is given at this time."""
    gates: dict[str, Any] = {**GATES, "approval": {"deadline": "PT8H", "on_timeout": "reject"}}
    ordered: list[dict[str, Any]] = [
        {"name": "validation", "host_pools": ["test"], "gates": gates},
        {"name": "people", "host_pools": ["office"]},
    ]

    def set_the_stage(stage: Stage) -> None:
        TWO_RINGS.set_the_stage(stage)
        stage.answers[:] = []
        stage.answer(answer_at, "approve" if passes else "reject", "it was tried", day=0)

    scenario = replace(
        TWO_RINGS,
        policy=policy_text("test", "office", image="test", rings=ordered, **QUIET),
        set_the_stage=set_the_stage,
        outcome=Outcome("Succeeded", {"test": "Succeeded", "office": "Succeeded"})
        if passes
        else Outcome("Halted", {"test": "Succeeded", "office": "Blocked"}),
    )
    return lambda: Observed(scenario)


def without_quota_until(clock: str) -> Callable[[], Observed]:
    """There is no quota for an extra host until somebody raises it."""

    def raised(stage: Stage, office: Office) -> None:
        limit = stage.estate.quota.usages(office.subscription, office.region)[0][1] + 12
        stage.at(clock, lambda: stage.estate.quota.set_limit(office.subscription, office.region, limit))

    return lambda: Observed(small_rollout(spare_hosts=0, disturbed_by=raised))


def unreadable_until(clock: str) -> Callable[[], Observed]:
    """Two host pools are rolled; from the morning on nobody can read one of them. The other one runs well."""

    def set_the_stage(stage: Stage) -> None:
        office = stage.office(hosts=2, people=0)
        stage.office("branch", hosts=3, people=0, image_of=office)
        stage.publish("09:01", office, "2.0.0", takes={office.region: timedelta(0)})
        faults = stage.estate.faults
        stage.at("09:20", lambda: faults.fail_next("GET", "/hp-branch/", Site.SERVER_ERROR, times=100_000))
        stage.at(clock, faults.stop)

    scenario = replace(
        small_rollout(),
        policy=policy_text(
            "office", "branch", surge=1, canary={"bake": "PT5M"}, health={"settle": "PT2M", "ready_within": "PT4H"}
        ),
        set_the_stage=set_the_stage,
        outcome=Outcome("Succeeded", {"office": "Succeeded", "branch": "Succeeded"}),
    )
    return lambda: Observed(scenario)


def throttled(share: float) -> Callable[[], Observed]:
    """Azure refuses a share of all calls with 429, until after an hour and a half."""

    def ends(stage: Stage, office: Office) -> None:
        stage.at("10:30", stage.estate.faults.stop)

    chances = {Site.THROTTLED: Chance(on=1, fires=share)}
    return lambda: Observed(replace(small_rollout(drained=0, disturbed_by=ends), faults=chances))


def activity_raises(times: int) -> Callable[[], Observed]:
    """So many runs of an activity end with an exception, as when memory runs out."""

    def run() -> Observed:
        left = [times]

        def faults(moment: Moment, call: ActivityCall) -> Fault | None:
            if moment == "before" and call.name == "decide_turn" and left[0]:
                left[0] -= 1
                return Raise()
            return None

        return Observed(small_rollout(), activity_faults=faults)

    return run


def policy_is_edited() -> Observed:
    """Somebody edits the policy file while a rollout runs, and it is valid."""

    def edits(stage: Stage, office: Office) -> None:
        stage.edit_policy("09:20", f"{POLICY}# as before\n")

    return Observed(small_rollout(disturbed_by=edits))


def topic_is_down_until(clock: str) -> Callable[[], Observed]:
    """Notifications go to a topic that answers 503 for a while."""

    def run() -> Observed:
        topic = Topic(TOPIC)

        def outage(stage: Stage, office: Office) -> None:
            stage.at("09:05", lambda: setattr(topic, "answers", 503))
            stage.at(clock, lambda: setattr(topic, "answers", None))

        return Observed(small_rollout(disturbed_by=outage), receivers={"GOLDROLL_TOPIC": topic})

    return run


def policy_is_broken_until(clock: str) -> Callable[[], Observed]:
    """Somebody breaks the policy file and mends it later."""

    def edits(stage: Stage, office: Office) -> None:
        stage.edit_policy("09:20", "images: [")
        stage.edit_policy(clock, POLICY)

    return lambda: Observed(small_rollout(disturbed_by=edits))


def events_get(status: int, until: str) -> Callable[[], Observed]:
    """Event Grid gets this status instead of the app's answer for a while."""

    def outage(stage: Stage, office: Office) -> None:
        stage.keep_events_off("09:00", until, status=status)

    return lambda: Observed(small_rollout(disturbed_by=outage))


answered_in_time, answered_late, rejected = rings("10:30"), rings("16:00"), rings("10:30", passes=False)

PROOFS: dict[str, Proof] = {
    "halted": Proof(bad_image, good, "the image is good"),
    "ring-failed": Proof(rejected, answered_in_time, "the ring is approved instead of rejected"),
    "approval": Proof(answered_in_time, good, "nobody is asked"),
    "approval-expires": Proof(answered_late, answered_in_time, "the answer comes soon"),
    "no-capacity": Proof(without_quota_until("11:00"), without_quota_until("09:45"), "there is room within the hour"),
    "stuck": Proof(unreadable_until("11:30"), unreadable_until("09:50"), "the pool can be read again within the hour"),
    "throttling": Proof(throttled(0.3), throttled(0.08), "it is refused now and then, as on any day"),
    "failures": Proof(activity_raises(6), activity_raises(2), "a transient failure, repeated with success"),
    "policy": Proof(policy_is_broken_until("14:00"), policy_is_edited, "the edit is valid"),
    "notifications": Proof(topic_is_down_until("16:00"), topic_is_down_until("09:07"), "one attempt fails"),
    "dead-lettered": Proof(events_get(403, "09:10"), events_get(503, "09:03"), "it is delivered at a later attempt"),
}


# ------------------------------------------------------------------------------------------------------------- proofs


@cache
def observed(run: Callable[[], Observed]) -> Observed:
    """The run, played once whoever asks, and come out as it must."""
    played = run()
    result = asyncio.run(played.play())
    assert result.phase == played.scenario.outcome.phase
    return played


@cache
def raised_in(run: Callable[[], Observed]) -> Raised:
    """The alerts of a run."""
    return observed(run).raised()


def lines(run: Callable[[], Observed], word: str) -> list[str]:
    """What the run has logged with this word in it."""
    return [message for _, message, _ in observed(run).telemetry.traces if word in message]


def test_every_alert_that_is_deployed_is_proved_and_no_other() -> None:
    assert set(PROOFS) == {rule.name for rule in deployed()}


@pytest.mark.parametrize("name", PROOFS)
def test_an_alert_is_raised_by_its_scenario(name: str) -> None:
    assert name in raised_in(PROOFS[name].raises)


@pytest.mark.parametrize("name", PROOFS)
def test_an_alert_is_not_raised_when_it_only_comes_near(name: str) -> None:
    assert name not in raised_in(PROOFS[name].does_not), PROOFS[name].near


def test_only_the_rollout_that_does_not_come_further_is_stuck() -> None:
    stuck = lines(PROOFS["stuck"].raises, " is stuck: ")

    assert len(stuck) > 1
    assert all(":branch is stuck: its host pool was read last " in line for line in stuck)


def test_a_pool_that_cannot_be_read_for_hours_is_told_of_once() -> None:
    assert len(lines(PROOFS["stuck"].raises, "branch: the host pool cannot be read")) == 1


@pytest.mark.parametrize("name", [rule.name for rule in deployed() if rule.lasts])
def test_what_lasts_is_told_once(name: str) -> None:
    assert len(raised_in(PROOFS[name].raises)[name]) == 1


def test_what_comes_near_to_throttling_is_throttled_now_and_then() -> None:
    assert lines(PROOFS["throttling"].does_not, "throttled: ")


def of_two_days(world: World) -> Raised:
    """The alerts that are raised when the app looks at this rollout every quarter of an hour for two days."""
    telemetry, begins = Telemetry(), world.now
    for quarter in range(2 * 24 * 4):
        now = begins + quarter * minutes(15)
        while world.now < now:
            world.turn()
        status = msgspec.to_builtins(pool_status("office", world.state, world.now))
        telemetry.log(now, watch_line(Watched("image-2.0.0:office", True, status, begins, now), now).text, "WARNING")
    return telemetry.raised(begins, begins + hours(48))


def test_a_day_of_work_that_comes_to_nothing_is_raised_and_a_pause_of_two_days_is_not() -> None:
    def one_who_stays() -> World:
        world = World(a_pool(hosts_named(4, sessions=2)), a_policy(drain={"on_timeout": "wait"}))
        world.leave_after = None
        return world.run(Phase.ROLLING)

    waits, paused = one_who_stays(), one_who_stays()
    begins = waits.now
    paused.state = tell(paused.state, Command("pause", "raj@contoso.com", "a holiday"))

    assert list(raised := of_two_days(waits)) == ["stuck"]
    assert hours(24) < raised["stuck"][0] - begins < hours(27)
    assert of_two_days(paused) == {}
