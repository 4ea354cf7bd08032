"""Replaced hosts that are kept for a while, and a roll back that has them again in minutes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from rollout.model import RETAINED_TAG, HostProgress, Phase, RolloutState, Stage, Vacancy
from rollout.policy import hours, minutes
from rollout.pool import decide, start
from rollout.retained import retained_until
from rollout.rolling_back import policy_of_roll_back
from rollout.steps import ProvisionHost, RemoveHost, RestoreHost, RetainHost
from tests.rollout.builders import (
    MORNING,
    NEXT,
    POOL_ID,
    ROLLOUT,
    SHAPE,
    a_host,
    a_policy,
    a_pool,
    hosts_named,
    version_id,
)
from tests.rollout.world import UNHEALTHY, World

BEFORE = "1.0.0"
KEPT = {"retain_outdated": timedelta(days=2)}


def a_retained_host(name: str, version: str = BEFORE, until: str = "2026-11-22T08:00:00Z", **fields: Any) -> Any:
    return a_host(name, version, powered_off=True, drained=True, tags={RETAINED_TAG: until}, **fields)


def a_roll_back(**fields: Any) -> RolloutState:
    begun = start(ROLLOUT, POOL_ID, version_id(BEFORE), MORNING, instead_of=version_id(NEXT))
    return structs.replace(begun, **fields)


def rolled_back(*hosts: Any, **state: Any) -> World:
    return World(a_pool(list(hosts), target=BEFORE), policy_of_roll_back(a_policy(surge=1)), a_roll_back(**state))


def done(world: World, kind: type) -> list[str]:
    return [step.host for _, step in world.done_steps if isinstance(step, kind)]


# ------------------------------------------------------------------------------------------------------------ keeping


def test_replaced_hosts_are_kept_switched_off_instead_of_removed() -> None:
    world = World(a_pool(outdated=4), a_policy(surge=1, **KEPT)).run()

    assert world.state.phase is Phase.SUCCEEDED
    kept = [host for host in world.hosts.values() if host.is_retained]
    assert sorted(host.name for host in kept) == ["avd-001", "avd-002", "avd-003", "avd-004"]
    assert all(host.is_powered_off and not host.allows_new_sessions and not host.is_tagged for host in kept)
    assert done(world, RemoveHost) == []
    assert world.nothing_is_left_over()


def test_they_are_no_part_of_the_pool_any_more() -> None:
    kept = [a_retained_host(f"avd-{n:03}") for n in range(1, 5)]
    decision = decide(
        start(ROLLOUT, POOL_ID, version_id(NEXT), MORNING),
        a_pool([*kept, *hosts_named(3, first=5)]),
        a_policy(),
        MORNING,
    )
    assert decision.state.desired == 3
    assert decision.story[0].startswith("3 of 3 hosts are outdated")


def test_a_pool_with_kept_hosts_only_has_none_to_replace() -> None:
    state = start(ROLLOUT, POOL_ID, version_id(NEXT), MORNING)
    decision = decide(state, a_pool([a_retained_host("avd-001")]), a_policy(), MORNING)
    assert (decision.phase, decision.state.reason) == (Phase.REFUSED, "NoSessionHosts")


@pytest.mark.parametrize("what", ["ephemeral", "off", "another version"])
def test_hosts_that_would_be_of_no_use_are_removed(what: str) -> None:
    odd = a_host("avd-001", "0.9.0" if what == "another version" else BEFORE, powered_off=what == "off")
    if what == "ephemeral":
        odd = structs.replace(odd, shape=structs.replace(odd.shape, ephemeral_placement="NvmeDisk"))
    world = World(a_pool([odd, *hosts_named(3, first=2)]), a_policy(surge=1, **KEPT)).run()
    assert "avd-001" in done(world, RemoveHost)
    assert sorted(set(done(world, RetainHost))) == ["avd-002", "avd-003", "avd-004"]


def test_somebody_who_slips_in_before_it_is_switched_off_is_left_in_peace() -> None:
    world = World(a_pool(hosts_named(3)), a_policy(surge=1, **KEPT))
    world.run(until=lambda world: any(host.stage is Stage.REMOVING for host in world.state.in_hand.values()))
    (name,) = [name for name, host in world.state.in_hand.items() if host.stage is Stage.REMOVING]
    world.change(name, tags={k: v for k, v in world.hosts[name].tags.items() if k != RETAINED_TAG}, power="running")
    world.sign_in(name, "late")
    world.run()
    assert world.state.phase is Phase.SUCCEEDED
    assert world.forced["late"] <= 1


@pytest.mark.parametrize(("tag", "known"), [("2026-11-22T08:00:00Z", True), ("soon", False), ("", False)])
def test_until_when_a_host_is_kept_is_read_from_its_tag(tag: str, known: bool) -> None:
    until = retained_until(a_retained_host("avd-001", until=tag))
    assert (until == MORNING + timedelta(days=2)) if known else (until is None)


# ---------------------------------------------------------------------------------------------------------- restoring


def test_a_roll_back_starts_the_kept_hosts_again_all_at_once() -> None:
    kept = [a_retained_host(f"avd-{n:03}") for n in range(1, 7)]
    world = rolled_back(*kept, *hosts_named(6, first=7, version=NEXT, sessions=2)).run()

    assert world.state.phase is Phase.ROLLED_BACK
    assert set(world.hosts) == {f"avd-{n:03}" for n in range(1, 7)}
    assert done(world, ProvisionHost) == []
    starts = [at for at, step in world.done_steps if isinstance(step, RestoreHost)]
    assert len(starts) == 6
    assert len(set(starts)) == 1
    assert world.nothing_is_left_over()


def test_they_accept_people_within_minutes() -> None:
    kept = [a_retained_host(f"avd-{n:03}") for n in range(1, 4)]
    world = rolled_back(*kept, *hosts_named(3, first=4, version=NEXT, sessions=2))
    world.run(until=lambda world: all(world.hosts[f"avd-{n:03}"].allows_new_sessions for n in range(1, 4)))
    assert world.now - MORNING <= minutes(15)


def test_what_somebody_has_drained_or_switched_off_is_so_again_on_the_hosts_that_were_kept() -> None:
    kept = [a_retained_host(f"avd-{n:03}") for n in range(1, 7)]
    others = [
        *hosts_named(2, first=7, version=NEXT, drained=True),
        *hosts_named(1, first=9, version=NEXT, powered_off=True),
    ]
    world = rolled_back(*kept, *others, *hosts_named(3, first=10, version=NEXT, sessions=2)).run()

    assert world.state.phase is Phase.ROLLED_BACK
    assert set(world.hosts) == {f"avd-{n:03}" for n in range(1, 7)}
    assert sum(host.is_powered_off for host in world.hosts.values()) == 1
    assert sum(not host.allows_new_sessions for host in world.hosts.values() if not host.is_powered_off) == 2
    assert world.nothing_is_left_over()


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
@pytest.mark.parametrize("in_service", [True, False])
def test_a_host_that_a_kept_one_follows_is_followed_by_no_second_one(strategy: str, in_service: bool) -> None:
    """The host that is switched off is gone, and the one that takes its place has been taken back."""
    gone = {"avd-010": HostProgress(Stage.REMOVING, MORNING, stays_off=True)}
    coming = (
        {} if in_service else {"avd-001": HostProgress(Stage.RESTORING, MORNING, replaces="avd-010", stays_off=True)}
    )
    pool = a_pool([a_host("avd-001", powered_off=in_service), *hosts_named(3, first=11, version=NEXT)], target=BEFORE)
    state = a_roll_back(
        desired=4, settled=3 + in_service, in_hand=gone | coming, due=("avd-010",) if in_service else ()
    )

    decision = decide(state, pool, policy_of_roll_back(a_policy(surge=1, strategy=strategy)), MORNING)

    assert "avd-010 is removed" in decision.story
    made = [step for step in decision.steps if isinstance(step, ProvisionHost)]
    assert not any(owed.stays_off for owed in decision.state.owed)
    assert not any(decision.state.in_hand[step.host].stays_off for step in made)


def test_a_host_that_is_owed_already_is_not_owed_again_when_it_is_gone() -> None:
    """Azure had no room for the host that was to follow it, and it was made to go for that."""
    gone = {"avd-010": HostProgress(Stage.REMOVING, MORNING, stays_off=True)}
    owed = (Vacancy(replaces="avd-010", stays_off=True),)
    state = a_roll_back(desired=4, settled=3, in_hand=gone, owed=owed, shapes=(SHAPE,))

    decision = decide(state, a_pool(hosts_named(3, first=11, version=NEXT), target=BEFORE), a_policy(), MORNING)

    made = [step for step in decision.steps if isinstance(step, ProvisionHost)]
    to_be_off = [owed.stays_off for owed in decision.state.owed]
    to_be_off += [decision.state.in_hand[step.host].stays_off for step in made]
    assert sum(to_be_off) == 1


def test_what_somebody_has_drained_is_followed_before_what_nobody_will_miss() -> None:
    """In place more is owed than is made when kept hosts have come back before the others went."""
    ordinary, drained = Vacancy(replaces="avd-020"), Vacancy(replaces="avd-021", stays_drained=True)
    pool = a_pool([a_retained_host("avd-001"), *hosts_named(3, version=BEFORE, first=11)], target=BEFORE)
    state = a_roll_back(desired=4, settled=3, owed=(ordinary, ordinary, drained))

    decision = decide(state, pool, policy_of_roll_back(a_policy(strategy="in_place")), MORNING)

    assert decision.state.in_hand["avd-001"].stays_drained


def test_what_was_not_kept_is_made_again() -> None:
    world = rolled_back(a_retained_host("avd-001"), *hosts_named(3, first=2, version=NEXT)).run()
    assert world.state.phase is Phase.ROLLED_BACK
    assert len(done(world, ProvisionHost)) == 2
    assert "avd-001" in world.hosts


def test_hosts_of_other_versions_stay_where_they_are() -> None:
    older = a_retained_host("avd-001", "0.9.0")
    world = rolled_back(older, *hosts_named(2, first=2, version=NEXT)).run()
    assert world.hosts["avd-001"] == older


def test_without_an_image_the_kept_hosts_are_way_enough_back() -> None:
    kept = [a_retained_host(f"avd-{n:03}") for n in range(1, 3)]
    world = rolled_back(*kept, *hosts_named(2, first=3, version=NEXT))
    world.image = None
    world.run()
    assert (world.state.phase, set(world.hosts)) == (Phase.ROLLED_BACK, {"avd-001", "avd-002"})


def test_too_few_of_them_and_no_image_is_no_way_back() -> None:
    pool = a_pool([a_retained_host("avd-001"), *hosts_named(2, first=2, version=NEXT)], target=None)
    decision = decide(a_roll_back(), pool, a_policy(), MORNING)
    assert (decision.phase, decision.state.reason) == (Phase.REFUSED, "ImageVersionGone")


def test_a_kept_host_that_does_not_come_up_is_set_aside_and_another_one_is_made() -> None:
    kept = [a_retained_host(f"avd-{n:03}") for n in range(1, 4)]
    world = rolled_back(*kept, *hosts_named(3, first=4, version=NEXT))
    world.fates["avd-002"] = UNHEALTHY
    world.run()
    assert world.state.phase is Phase.ROLLED_BACK
    assert world.state.quarantined == {"avd-002": "NotReadyInTime"}
    assert len(done(world, ProvisionHost)) == 1


def test_a_rollout_never_takes_kept_hosts_back_by_itself() -> None:
    kept = a_retained_host("avd-001")
    world = World(a_pool([kept, *hosts_named(2, first=2)]), a_policy(surge=1)).run()
    assert world.state.phase is Phase.SUCCEEDED
    assert world.hosts["avd-001"] == kept


def test_going_there_and_back_leaves_the_pool_as_it_was() -> None:
    there = World(a_pool(outdated=4), a_policy(surge=1, retain_outdated=hours(24))).run()
    back = World(
        a_pool(list(there.hosts.values()), target=BEFORE), policy_of_roll_back(a_policy(surge=1)), a_roll_back()
    )
    back.run()
    assert set(back.hosts) == {"avd-001", "avd-002", "avd-003", "avd-004"}
    assert all(host.allows_new_sessions for host in back.hosts.values())
