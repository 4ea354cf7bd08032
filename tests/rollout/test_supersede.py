"""A newer version takes over: what is in hand is finished or given back, and the pool keeps its size."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollout.model import Phase
from rollout.policy import hours, minutes
from rollout.pool import supersede
from rollout.steps import ProvisionHost, RemoveHost, StepError, StopDraining
from tests.rollout.builders import NEXT, a_host, a_policy, a_pool, a_state, hosts_named, version_id
from tests.rollout.world import NEVER_REGISTERS, World

STRATEGIES = pytest.mark.parametrize("strategy", ["surge", "in_place"])


def superseded_at(moment: timedelta, strategy: str = "surge", *, stubborn: bool = False, **policy: Any) -> World:
    """A rollout of six hosts with two people on each that learns so much later that a newer version waits."""
    world = World(a_pool(hosts_named(6, sessions=2)), a_policy(strategy=strategy, **policy))
    world.leave_after = None if stubborn else minutes(10)
    world.run_for(moment)
    world.state = supersede(world.state, version_id("3.0.0"))
    return world


@STRATEGIES
@pytest.mark.parametrize("minute", [0, 3, 12, 18, 30, 55, 62, 70, 81, 95, 120])
def test_whenever_it_happens_the_rollout_ends_and_the_pool_is_as_large_as_before(strategy: str, minute: int) -> None:
    world = superseded_at(minutes(minute), strategy).run()

    assert world.state.phase is Phase.SUPERSEDED
    assert world.state.message == "version 3.0.0 has been published and takes over"
    assert world.versions().total() == 6
    assert world.nothing_is_left_over()
    assert sum(world.people().values()) == 12


def test_a_rollout_that_has_not_begun_ends_at_once_and_touches_nothing() -> None:
    world = World(a_pool(hosts_named(3)), state=supersede(a_state(), version_id("3.0.0")))
    world.turn()

    assert world.state.phase is Phase.SUPERSEDED
    assert not world.done_steps


def test_no_new_wave_starts_once_a_newer_version_waits() -> None:
    world = superseded_at(minutes(120))
    provisioned, wave = len(world.steps(ProvisionHost)), world.state.wave
    world.run()

    assert world.state.wave == wave
    assert len(world.steps(ProvisionHost)) <= provisioned + 1


def test_in_place_the_host_that_has_been_removed_already_is_replaced() -> None:
    world = World(a_pool(hosts_named(3)), a_policy(strategy="in_place")).run(lambda world: world.state.canary_passed)
    world.run(lambda world: len(world.steps(RemoveHost)) == 2)
    world.state = supersede(world.state, version_id("3.0.0"))
    world.run()

    assert world.versions() == {NEXT: 2, "1.0.0": 1}


def test_in_place_the_owed_host_is_waited_for_while_azure_has_no_room_and_the_reason_is_said() -> None:
    world = World(a_pool(hosts_named(3)), a_policy(strategy="in_place")).run(lambda world: world.state.canary_passed)
    world.refuse(ProvisionHost, StepError("OperationNotAllowed", "the quota is used up"))
    world.run(lambda world: world.state.blocked)
    world.state = supersede(world.state, version_id("3.0.0"))
    world.run_for(hours(3))
    assert len(world.hosts) == 2
    assert "the quota is used up" in world.state.message

    world.allow_everything()
    world.run()
    assert (world.state.phase, world.versions().total()) == (Phase.SUPERSEDED, 3)


def test_draining_hosts_that_the_pool_still_needs_are_given_back_and_their_people_told() -> None:
    world = World(a_pool(hosts_named(6, sessions=2)), a_policy(strategy="in_place"))
    world.run(lambda world: world.state.canary_passed)
    world.leave_after = None
    world.run(lambda world: world.draining() and world.last and not world.last.story)
    drained = world.draining()
    world.state = supersede(world.state, version_id("3.0.0"))
    world.run()

    assert drained
    assert {step.host for step in world.steps(StopDraining)} >= set(drained)
    assert any(notice.title == world.policy.drain.notice.withdrawn_title for _, notice in world.messages)
    assert not world.forced


def test_a_new_host_that_fails_meanwhile_is_set_aside_and_not_made_again_where_the_pool_is_complete() -> None:
    world = World(a_pool(hosts_named(4)), a_policy(surge=1)).run(lambda world: world.state.canary_passed)
    world.fates["avd-006"] = NEVER_REGISTERS
    world.run(lambda world: "avd-006" in world.state.in_hand)
    world.state = supersede(world.state, version_id("3.0.0"))
    world.run()

    assert world.state.phase is Phase.SUPERSEDED
    assert world.versions().total() == 4


def test_in_hand_hosts_of_a_superseded_rollout_are_proven_before_they_serve_people() -> None:
    world = superseded_at(minutes(12))
    world.run()

    assert world.versions() == {NEXT: 1, "1.0.0": 5}


@STRATEGIES
def test_rollout_after_rollout_superseded_the_pool_does_not_grow(strategy: str) -> None:
    pool = a_pool(hosts_named(4))
    for number in range(2, 6):
        world = World(pool, a_policy(strategy=strategy), a_state(f"{number}.0.0"))
        world.image = a_pool(target=f"{number}.0.0").image
        world.names_used |= {f"avd-{n:03}" for n in range(1, 40)} & set(world.hosts)
        world.run_for(minutes(100))
        world.state = supersede(world.state, version_id(f"{number + 1}.0.0"))
        pool = world.run().observe()

    assert len(pool.hosts) == 4


def test_a_surplus_of_current_hosts_only_is_taken_away_too() -> None:
    world = World(a_pool([a_host("avd-001")])).run(Phase.BAKING)
    world.put(a_host("avd-500", NEXT))
    world.turn()
    world.remove("avd-001")
    world.state = supersede(world.state, version_id("3.0.0"))
    world.run()

    assert world.versions() == {NEXT: 1}


def test_people_who_stay_on_a_surplus_host_do_not_hold_the_newer_version_up_where_hosts_are_skipped() -> None:
    world = superseded_at(minutes(60), stubborn=True, drain={"on_timeout": "skip"})
    world.run()

    assert world.state.phase is Phase.SUPERSEDED
    assert not world.forced
