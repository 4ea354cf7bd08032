"""Steering: outdated hosts in drain mode with nobody told, and what becomes of them when slots get short."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs

from rollout.model import Phase, ScalingPhase, ScalingPlan, Stage, UserSession
from rollout.policy import hours, minutes
from rollout.pool import decide, supersede
from rollout.steering import STARTS_PER_TURN
from rollout.steps import StartDraining, StopDraining
from tests.rollout.builders import (
    MORNING,
    NEXT,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    a_state,
    hosts_named,
    version_id,
)
from tests.rollout.world import World

LATE = {"finish_within": hours(40)}
"""A policy with so much time that nobody is asked to leave in these tests."""


def test_as_soon_as_the_canary_has_passed_people_are_steered_away_and_nobody_is_told() -> None:
    world = World(a_pool(hosts_named(12, sessions=4)), a_policy(**LATE))
    world.run(lambda world: world.state.canary_passed).turn()

    assert len(world.draining()) > 6
    assert not world.messages


def test_a_steered_host_is_remembered_only_until_azure_shows_it() -> None:
    world = World(a_pool(hosts_named(12, sessions=4)), a_policy(**LATE))
    world.run(lambda world: world.state.canary_passed)
    asked = [name for name, host in world.state.in_hand.items() if host.stage is Stage.STEERING]
    world.turn()

    assert asked
    assert not set(asked) & set(world.state.in_hand)
    assert set(asked) <= set(world.draining())


def test_a_host_whose_drain_mode_does_not_show_is_asked_for_again() -> None:
    world = World(a_pool(hosts_named(4, sessions=4)), a_policy(**LATE)).run(lambda world: world.state.canary_passed)
    name = world.draining()[0]
    world.change(name, allows_new_sessions=True, tags={})
    world.run_for(minutes(10))

    assert len(world.steps(StartDraining, name)) == 2
    assert not world.hosts[name].allows_new_sessions


def test_an_empty_steered_host_is_replaced_whatever_the_time() -> None:
    world = World(a_pool([a_host("avd-001"), *hosts_named(5, first=2, sessions=4)]), a_policy(**LATE))
    world.run(lambda world: "avd-001" not in world.hosts)

    assert not world.messages
    assert world.told("wave 1: replacing avd-001, drained and empty")


def test_many_sign_ins_of_late_keep_hosts_in_service_that_would_else_be_steered() -> None:
    sessions = tuple(UserSession(str(n), f"early-{n}", began=MORNING - minutes(5)) for n in range(8))
    hosts = [structs.replace(a_host("avd-001"), sessions=sessions), *hosts_named(5, first=2, sessions=3)]
    pool = a_pool([*hosts, a_host("avd-007", NEXT)])
    quiet = a_pool([a_host("avd-001", sessions=8), *hosts_named(5, first=2, sessions=3), a_host("avd-007", NEXT)])
    busy = decide(a_rolling_state(pool, desired=6), pool, a_policy(**LATE), MORNING)
    calm = decide(a_rolling_state(quiet, desired=6), quiet, a_policy(**LATE), MORNING)

    assert len(_steered(busy)) < len(_steered(calm))


def test_while_people_arrive_fast_the_next_look_is_soon() -> None:
    """90 sign-ins an hour and 20 free slots: they last for 13 minutes, so it is looked again within four."""
    sessions = tuple(UserSession(str(n), f"early-{n}", began=MORNING - minutes(30)) for n in range(90))
    hosts = [a_draining_host("avd-001", sessions=5), structs.replace(a_host("avd-002", NEXT), sessions=sessions[:9])]
    hosts += [a_host("avd-003", NEXT)]
    pool = a_pool(hosts)
    decision = decide(a_rolling_state(pool, desired=3), pool, a_policy(reserve=0, **LATE), MORNING)

    assert decision.wake_at is not None
    assert decision.wake_at - MORNING <= minutes(5)


def test_steered_hosts_are_given_back_before_those_whose_people_were_asked() -> None:
    hosts = [a_draining_host("avd-001", sessions=5), *hosts_named(2, first=2, version=NEXT, sessions=10)]
    pool = a_pool(hosts)
    world = World(pool, a_policy(**LATE), a_rolling_state(pool, desired=3))
    world.turn()

    assert world.hosts["avd-001"].allows_new_sessions
    assert world.told("avd-001 is given back: free session slots are down to 0, the reserve is 5")
    assert not world.messages


def test_nothing_is_steered_in_a_turn_in_which_hosts_are_given_back() -> None:
    hosts = [
        a_draining_host("avd-001", sessions=2),
        a_host("avd-002", sessions=10),
        a_host("avd-003", NEXT, sessions=9),
    ]
    pool = a_pool(hosts)
    decision = decide(a_rolling_state(pool, desired=3), pool, a_policy(reserve=30, **LATE), MORNING)

    assert [type(step) for step in decision.steps if isinstance(step, StartDraining | StopDraining)] == [StopDraining]


def a_plan(kind: str, *, minimum: int, begins_in: timedelta = timedelta(0), then: str = "") -> ScalingPlan:
    """A scaling plan in a phase of this kind; or, with `then`, one whose next phase is of that kind."""
    begins = MORNING + begins_in
    if then:
        now = ScalingPhase(kind, MORNING - hours(8))
        return ScalingPlan("sp", enabled=True, phase=now, next_phase=ScalingPhase(then, begins, minimum))
    return ScalingPlan("sp", enabled=True, phase=ScalingPhase(kind, MORNING - hours(1), minimum))


@pytest.mark.parametrize(
    ("plan", "steered"),
    [
        (None, 11),
        (a_plan("Peak", minimum=50), 7),
        (a_plan("RampUp", minimum=100), 1),
        (a_plan("OffPeak", minimum=50), 11),
        (a_plan("OffPeak", minimum=50, then="RampUp", begins_in=minutes(30)), 7),
        (a_plan("OffPeak", minimum=50, then="RampUp", begins_in=hours(2)), 11),
        (ScalingPlan("unreadable", enabled=True), 11),
    ],
)
def test_by_day_and_shortly_before_as_many_hosts_accept_people_as_the_scaling_plan_wants(
    plan: ScalingPlan | None, steered: int
) -> None:
    """Twelve hosts and one more: drained ones count in the plan's minimum, so autoscale would not see to it."""
    pool = structs.replace(a_pool([*hosts_named(12), a_host("avd-013", NEXT)]), scaling=plan)
    decision = decide(a_rolling_state(pool, desired=12), pool, a_policy(**LATE), MORNING)

    assert len(_steered(decision)) == steered


def test_when_the_morning_of_the_scaling_plan_comes_steered_hosts_are_given_back() -> None:
    hosts = [a_draining_host(f"avd-{n:03}", sessions=1) for n in range(1, 9)]
    plan = a_plan("OffPeak", minimum=50, then="RampUp", begins_in=minutes(20))
    pool = structs.replace(a_pool([*hosts, *hosts_named(4, first=9, version=NEXT)]), scaling=plan)
    decision = decide(a_rolling_state(pool, desired=12), pool, a_policy(**LATE), MORNING)

    assert len([step for step in decision.steps if isinstance(step, StopDraining)]) == 2


def test_a_halt_gives_every_steered_host_back_so_many_in_a_turn() -> None:
    count = STARTS_PER_TURN + 10
    hosts = [a_draining_host(f"avd-{n:03}", sessions=1) for n in range(1, count + 1)]
    pool = a_pool([*hosts, a_host("avd-900", NEXT)])
    world = World(pool, a_policy(**LATE), a_rolling_state(pool, desired=count))
    world.image = None
    first = world.turn()
    world.run()

    assert len([step for step in first.steps if isinstance(step, StopDraining)]) == STARTS_PER_TURN
    assert world.state.phase is Phase.HALTED
    assert world.nothing_is_left_over()


def test_a_newer_version_gives_every_steered_host_back() -> None:
    hosts = [a_draining_host(f"avd-{n:03}", sessions=1) for n in range(1, 9)]
    pool = a_pool(hosts)
    world = World(pool, a_policy(**LATE), supersede(a_rolling_state(pool), version_id("3.0.0")))
    world.run()

    assert world.state.phase is Phase.SUPERSEDED
    assert world.nothing_is_left_over()
    assert world.versions() == {"1.0.0": 8}


def test_what_an_ended_run_of_the_same_rollout_had_steered_is_given_back_before_the_canary() -> None:
    world = World(
        a_pool([a_draining_host("avd-001", sessions=1), *hosts_named(3, first=2)]), a_policy(**LATE), a_state()
    )
    world.turn()
    world.turn()

    assert world.hosts["avd-001"].allows_new_sessions
    assert world.told("avd-001 was left drained by a run that has ended")


def _steered(decision: object) -> list[str]:
    return [step.host for step in decision.steps if isinstance(step, StartDraining)]  # type: ignore[attr-defined]
