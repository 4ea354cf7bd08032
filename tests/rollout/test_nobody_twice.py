"""Nobody is signed out twice by a rollout: not where there is room, and not where there is none."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rollout.drain import mark_of
from rollout.model import Phase
from rollout.policy import hours
from rollout.pool import decide
from rollout.steps import NotifySessions, SignOutSessions
from tests.rollout.builders import (
    MORNING,
    NEXT,
    a_drain,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    hosts_named,
)
from tests.rollout.world import World


def test_only_those_are_signed_out_who_have_not_been_before_and_the_others_are_asked_all_the_same() -> None:
    pool = a_pool([a_draining_host("avd-001", sessions=2), a_host("avd-002", NEXT)])
    told = a_drain(told={"avd-001/2": MORNING}, notices=9)  # the first one has just turned up
    state = a_rolling_state(pool, {"avd-001": told}, signed_out=(mark_of("avd-001-person-1"),))
    decision = decide(state, pool, a_policy(), MORNING)

    assert [step.sessions for step in decision.steps if isinstance(step, NotifySessions)] == [("avd-001/1",)]
    assert [step.sessions for step in decision.steps if isinstance(step, SignOutSessions)] == [("avd-001/2",)]
    assert decision.state.in_hand["avd-001"].sessions["avd-001/1"].spared


def test_disconnected_sessions_end_whoever_they_belong_to_as_nobody_is_disturbed() -> None:
    pool = a_pool([a_draining_host("avd-001", disconnected=1), *hosts_named(2, first=2, version=NEXT)])
    state = a_rolling_state(pool, {"avd-001": a_drain()}, signed_out=(mark_of("avd-001-person-1"),), desired=2)
    world = World(pool, a_policy(), state).run()

    assert world.state.phase is Phase.SUCCEEDED
    assert world.state.disconnected_sign_outs == 1


def test_whoever_has_been_signed_out_is_remembered_by_eight_digits_and_not_by_name() -> None:
    world = World(a_pool(hosts_named(3, sessions=2)), a_policy(reserve=0))
    world.leave_after = None
    world.run()

    assert {mark_of(user) for user in world.forced} == set(world.state.signed_out)
    assert {len(mark) for mark in world.state.signed_out} == {8}


def one_spared_person(**drain: Any) -> World:
    """Somebody who was signed out before is on another outdated host now, and stays there."""
    pool = a_pool([a_draining_host("avd-001", sessions=1), *hosts_named(3, first=2, version=NEXT)])
    state = a_rolling_state(pool, {"avd-001": a_drain()}, signed_out=(mark_of("avd-001-person-1"),), desired=3)
    world = World(pool, a_policy(drain=drain), state)
    world.leave_after = None
    return world


def test_a_host_left_alone_for_a_spared_person_serves_again_and_is_named_at_the_end() -> None:
    world = one_spared_person().run()

    assert "avd-001 (DoesNotBecomeEmpty)" in world.state.message
    assert world.hosts["avd-001"].allows_new_sessions
    assert hours(13) <= world.now - MORNING < hours(14), "an hour of grace and twelve of patience"
    assert not world.forced


def test_a_spared_person_who_leaves_in_the_end_leaves_the_host_to_be_replaced() -> None:
    world = one_spared_person()
    world.at(hours(11), lambda: world.sign_out("avd-001", "avd-001/1"))
    world.run()

    assert world.state.phase is Phase.SUCCEEDED
    assert "avd-001" not in world.hosts


def test_where_the_policy_says_to_wait_a_spared_person_is_waited_for_like_everybody() -> None:
    world = one_spared_person(on_timeout="wait").run_for(hours(40))

    assert not world.state.skipped
    assert world.draining() == ["avd-001"]


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
@pytest.mark.parametrize("seed", range(12))
def test_in_no_pool_is_anybody_signed_out_twice_or_refused(strategy: str, seed: int) -> None:
    """Everybody stays wherever they are until they are signed out, which is the worst that can happen."""
    rng = random.Random(seed)
    count = rng.randint(2, 13)
    hosts = [a_host(f"avd-{n:03}", sessions=rng.choice([0, 2, 4, 6, 8]), zone=str(n % 3)) for n in range(1, count + 1)]
    policy = a_policy(strategy=strategy, surge=rng.randint(1, 3), max_unavailable=rng.randint(0, 2), max_wave="100%")
    world = World(a_pool(hosts), policy)
    world.leave_after = None
    there = world.people().total()
    world.run_for(hours(96), turns=4000)

    assert max(world.forced.values(), default=0) <= 1
    assert world.refused_sign_ins == 0
    assert world.people().total() == there
    assert (world.last and world.last.done) or there > 6 * (count - 1), "only for want of room it waits for ever"


@pytest.mark.parametrize("load", [3, 5, 7])
def test_with_extra_hosts_nobody_even_lands_on_a_host_that_goes_later(load: int) -> None:
    """So nobody has to be spared, and no host is left alone for it: everybody is moved once."""
    world = World(a_pool(hosts_named(12, sessions=load)), a_policy(surge=2, reserve=10, max_wave="100%"))
    world.leave_after = None
    while not world.turn().done:
        assert not [s for host in world.state.in_hand.values() for s in host.sessions.values() if s.spared]

    assert world.state.phase is Phase.SUCCEEDED
    assert max(world.forced.values()) == 1
    assert world.forced.total() == 12 * load
