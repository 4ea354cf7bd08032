"""Asking people to leave: when, how many, where they can go, and that nobody is signed out twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rollout.drain import WAIT_FOR_THE_SPARED, mark_of, plan_drain
from rollout.model import HostProgress, Phase, SessionHost, Stage
from rollout.pace import ask_from
from rollout.policy import PoolPolicy, hours, minutes
from rollout.pool import decide
from rollout.steps import SignOutSessions
from rollout.turn import Turn
from tests.rollout.builders import (
    MORNING,
    NEXT,
    a_drain,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    a_state,
    a_window,
    hosts_named,
)
from tests.rollout.world import World


def asked_now(
    hosts: list[SessionHost], policy: PoolPolicy | None = None, *, load_balancer: str = "BreadthFirst", **state: Any
) -> list[str]:
    """The hosts whose people a rollout in its waves asks to leave in one turn."""
    pool = a_pool(hosts, load_balancer=load_balancer)
    decision = decide(a_rolling_state(pool, **state), pool, policy or a_policy(max_wave="100%"), MORNING)
    return [name for name, host in decision.state.in_hand.items() if host.asked]


def steered(count: int, *, first: int = 1, sessions: int) -> list[SessionHost]:
    """Outdated hosts that the rollout keeps people off."""
    return [a_draining_host(f"avd-{n:03}", sessions=sessions) for n in range(first, first + count)]


# -------------------------------------------------------------------------------------------------------------- where


def test_no_more_people_are_asked_than_fit_on_the_current_hosts() -> None:
    """20 free slots on two current hosts: two hosts with 8 people each fit, three do not."""
    hosts = [*steered(5, sessions=8), *hosts_named(2, first=6, version=NEXT)]

    assert asked_now(hosts, a_policy(max_wave="100%", reserve=0), desired=7) == ["avd-001", "avd-002"]


def test_hosts_on_their_way_count_when_they_are_there_before_the_deadline() -> None:
    hosts = [*steered(5, sessions=8), *hosts_named(1, first=6, version=NEXT)]
    coming = {f"avd-{n:03}": HostProgress(stage=Stage.PROVISIONING, since=MORNING) for n in (7, 8)}
    policy = a_policy(max_wave="100%", reserve=0, surge=3)
    quick = structs.replace(policy, drain=structs.replace(policy.drain, grace=minutes(15)))

    assert len(asked_now(hosts, policy, desired=6, in_hand=coming, settled=6)) == 3
    assert len(asked_now(hosts, quick, desired=6, in_hand=coming, settled=6)) == 1


def test_most_of_the_reserve_stays_free_when_those_who_are_asked_have_moved() -> None:
    """20 free slots of 70, and 60 % of the reserve of 11 stay free: there is room for three times four people."""
    hosts = [*steered(5, sessions=4), *hosts_named(2, first=6, version=NEXT)]

    assert len(asked_now(hosts, a_policy(surge=3, max_wave="100%", reserve=15), desired=7)) == 3
    assert len(asked_now(hosts, a_policy(surge=3, max_wave="100%", reserve=0), desired=7)) == 5


def test_depth_first_nobody_is_asked_while_an_outdated_host_would_take_them() -> None:
    """They would be brokered to the fullest host, and be signed out again."""
    hosts = [*steered(3, sessions=2), *hosts_named(2, first=4, sessions=9), *hosts_named(2, first=6, version=NEXT)]
    coming = {"avd-008": HostProgress(stage=Stage.PROVISIONING, since=MORNING)}
    state = {"desired": 7, "in_hand": coming, "settled": 7}
    policy = a_policy(max_wave="100%", reserve=40)

    assert asked_now(hosts, policy, load_balancer="DepthFirst", **state) == []
    assert asked_now(hosts, policy, load_balancer="BreadthFirst", **state)


def test_when_nothing_else_goes_on_one_host_is_asked_although_people_may_land_on_an_outdated_one() -> None:
    hosts = [*steered(2, sessions=2), a_host("avd-003", sessions=3), a_host("avd-004", NEXT, sessions=8)]

    assert asked_now(hosts, load_balancer="DepthFirst", desired=3) == ["avd-001"]


def test_hosts_with_the_fewest_people_at_work_are_asked_first() -> None:
    hosts = [*steered(1, sessions=5), *steered(1, first=2, sessions=2), *hosts_named(1, first=3, version=NEXT)]
    hosts += [a_draining_host("avd-004", sessions=1, disconnected=6)]

    assert asked_now(hosts, a_policy(max_wave="100%", reserve=0), desired=4)[:2] == ["avd-004", "avd-002"]


@given(
    loads=st.lists(st.integers(1, 10), min_size=1, max_size=40),
    current=st.lists(st.integers(0, 10), min_size=1, max_size=20),
    coming=st.integers(0, 10),
    reserve=st.integers(0, 60),
)
def test_whoever_is_asked_has_a_place_on_a_host_that_stays(
    loads: list[int], current: list[int], coming: int, reserve: int
) -> None:
    """The bound of waves in which nobody is moved twice: their sessions fit the free slots of current hosts."""
    hosts = [a_draining_host(f"avd-{n:03}", sessions=load) for n, load in enumerate(loads, 1)]
    hosts += [a_host(f"avd-{n:03}", NEXT, sessions=load) for n, load in enumerate(current, 101)]
    in_hand = {f"avd-{n:03}": HostProgress(stage=Stage.PROVISIONING, since=MORNING) for n in range(201, 201 + coming)}
    policy = a_policy(max_wave="100%", reserve=reserve, surge=40)
    asked = asked_now(hosts, policy, desired=len(hosts), in_hand=in_hand, settled=len(hosts))
    people = sum(loads[int(name[-3:]) - 1] for name in asked)
    given_back = asked_now(hosts, policy, desired=len(hosts), in_hand=in_hand, settled=len(hosts)) != asked

    assert not given_back
    assert people <= sum(10 - load for load in current) + 10 * coming or (len(asked) == 1 and not in_hand)


# --------------------------------------------------------------------------------------------------------------- when


def test_without_a_time_to_finish_people_are_asked_as_soon_as_there_is_room() -> None:
    world = World(a_pool(hosts_named(6, sessions=4))).run(lambda world: world.messages)

    assert world.now - MORNING < hours(2)


def test_with_a_time_to_finish_people_are_asked_as_late_as_it_allows() -> None:
    """Six hosts at one a time take 35 minutes each, and people an hour: of 20 hours the last five are needed."""
    world = World(a_pool(hosts_named(6, sessions=4)), a_policy(finish_within=hours(20)))
    world.run(lambda world: world.messages)

    assert hours(14) <= world.messages[0][0] - MORNING <= hours(16)
    assert world.run().now - MORNING <= hours(20)


def test_the_moment_moves_away_as_hosts_become_empty_by_themselves() -> None:
    full, half = a_pool(hosts_named(10, sessions=2)), a_pool(hosts_named(5, sessions=2))
    policy = a_policy(finish_within=hours(20))
    late, later = (ask_from(Turn(a_state(desired=10), pool, policy, MORNING)) for pool in (full, half))

    assert late is not None
    assert later is not None
    assert later - late == 5 * (policy.expected_provisioning + minutes(10))


def test_why_people_are_not_asked_yet_is_said() -> None:
    world = World(a_pool(hosts_named(6, sessions=4)), a_policy(finish_within=hours(20)))
    world.run(lambda world: world.state.canary_passed and not world.state.in_hand)

    assert world.state.phase is Phase.ROLLING
    assert "whose people are asked to leave from Fri 2" in world.state.message


def test_in_the_last_window_before_the_time_to_finish_the_window_is_what_counts() -> None:
    policy = a_policy(finish_within=hours(30), windows=(a_window("08:00", hours(10)),))
    start = ask_from(Turn(a_state(desired=4), a_pool(hosts_named(4, sessions=1)), policy, MORNING + hours(24)))

    assert start is not None
    assert start < MORNING + hours(30)


# --------------------------------------------------------------------------------------------------------------- twice


def test_whoever_has_been_signed_out_is_asked_on_another_host_and_not_signed_out_again() -> None:
    hosts = [a_draining_host("avd-001", sessions=2), *hosts_named(2, first=2, version=NEXT)]
    marks = (mark_of("avd-001-person-1"),)
    told = a_drain(told={})
    pool = a_pool(hosts)
    world = World(pool, a_policy(), a_rolling_state(pool, {"avd-001": told}, desired=3, signed_out=marks))
    world.leave_after = None
    world.run_for(hours(3))

    assert world.messages
    assert world.forced == {"avd-001-person-2": 1}
    assert [s.user for s in world.hosts["avd-001"].sessions] == ["avd-001-person-1"]


def test_a_host_that_only_somebody_holds_up_who_is_spared_is_left_alone_after_twelve_hours() -> None:
    pool = a_pool([a_draining_host("avd-001", sessions=1), *hosts_named(2, first=2, version=NEXT)])
    marks = (mark_of("AVD-001-person-1"),)
    world = World(pool, a_policy(), a_rolling_state(pool, {"avd-001": a_drain()}, desired=2, signed_out=marks))
    world.leave_after = None
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert world.state.skipped == {"avd-001": "DoesNotBecomeEmpty"}
    assert timedelta(0) < WAIT_FOR_THE_SPARED <= world.now - MORNING
    assert world.told("somebody on it stays who has been signed out before")


def test_people_are_remembered_when_it_is_decided_to_sign_them_out_not_when_it_has_succeeded() -> None:
    """The answer may be lost, and the person may turn up elsewhere all the same."""
    hosts = [a_draining_host("avd-001", sessions=1), *hosts_named(2, first=2, version=NEXT)]
    pool = a_pool(hosts)
    state = a_rolling_state(pool, {"avd-001": a_drain(told={"avd-001/1": MORNING}, notices=9)}, desired=2)
    decision = decide(state, pool, a_policy(), MORNING)

    assert [step.forced for step in decision.steps if isinstance(step, SignOutSessions)] == [1]
    assert decision.state.signed_out == (mark_of("avd-001-person-1"),)


def test_a_sign_out_that_failed_is_tried_again_on_the_same_host() -> None:
    host = a_draining_host("avd-001", sessions=1)
    told = a_drain(told={"avd-001/1": MORNING}, notices=9)
    plan = plan_drain(host, told, a_policy(), MORNING, may_sign_out=True, signed_out={mark_of("avd-001-person-1")})

    assert [step.forced for step in plan.steps if isinstance(step, SignOutSessions)] == [1]


@pytest.mark.parametrize("free", [0, 1])
def test_an_hour_after_the_deadline_any_free_slot_will_do(free: int) -> None:
    hosts = [a_draining_host("avd-001", sessions=2), a_host("avd-002", sessions=6), a_host("avd-003", NEXT, sessions=9)]
    told = a_drain(told={"avd-001/1": MORNING - hours(1) * free, "avd-001/2": MORNING - hours(1) * free}, notices=9)
    pool = a_pool(hosts)
    decision = decide(a_rolling_state(pool, {"avd-001": told}, desired=3), pool, a_policy(reserve=0), MORNING)

    assert bool([step for step in decision.steps if isinstance(step, SignOutSessions)]) is bool(free)


def test_nobody_is_signed_out_twice_though_everybody_stays_to_the_last_minute() -> None:
    for strategy in ("surge", "in_place"):
        world = World(a_pool(hosts_named(12, sessions=5)), a_policy(strategy=strategy, surge=2, max_wave="100%"))
        world.leave_after = None
        world.run()

        assert max(world.forced.values()) == 1
