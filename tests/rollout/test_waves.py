"""Waves: how many hosts leave at once, which go first, and what windows allow to start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from rollout.model import HostProgress, Phase, SessionHost, Stage
from rollout.policy import PoolPolicy, hours, minutes
from rollout.pool import decide
from rollout.steps import ProvisionHost, RemoveHost, StartDraining, StepError
from tests.rollout.builders import (
    MORNING,
    NEXT,
    a_drain,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    a_window,
    hosts_named,
    steered_hosts,
)
from tests.rollout.world import World

STRATEGIES = pytest.mark.parametrize("strategy", ["surge", "in_place"])


def steered_now(hosts: list[SessionHost], policy: PoolPolicy | None = None, **state: Any) -> list[str]:
    """The hosts that a rollout in its waves puts into drain mode in one turn."""
    pool = a_pool(hosts)
    decision = decide(a_rolling_state(pool, **state), pool, policy or a_policy(), MORNING)
    return [step.host for step in decision.steps if isinstance(step, StartDraining)]


def emptied_now(
    hosts: list[SessionHost],
    policy: PoolPolicy | None = None,
    in_hand: dict[str, HostProgress] | None = None,
    **state: Any,
) -> list[str]:
    """The hosts that a rollout in its waves takes in hand in one turn, to remove them or to ask people to leave."""
    pool = a_pool(hosts)
    decision = decide(a_rolling_state(pool, in_hand, **state), pool, policy or a_policy(), MORNING)
    after = decision.state.in_hand
    return [name for name, host in after.items() if host.stage is Stage.DRAINING and name not in (in_hand or {})]


def leaving(world: World) -> list[str]:
    """Outdated hosts in hand whose people are asked to leave."""
    return [name for name, host in world.state.in_hand.items() if host.asked and host.sessions]


# ------------------------------------------------------------------------------------------------------------ how many


@pytest.mark.parametrize(("extra", "removed"), [(0, 0), (1, 1), (3, 3)])
def test_with_a_surge_as_many_empty_hosts_go_as_there_are_extra_ones_in_service(extra: int, removed: int) -> None:
    hosts = [*steered_hosts(12), *hosts_named(extra, first=13, version=NEXT)]

    assert len(emptied_now(hosts, a_policy(surge=3, reserve=0), desired=12)) == removed


@pytest.mark.parametrize(("max_unavailable", "removed"), [(1, 1), (3, 3), ("25%", 3), (0, 1)])
def test_in_place_as_many_empty_hosts_go_as_may_be_unavailable_and_never_none(
    max_unavailable: int | str, removed: int
) -> None:
    policy = a_policy(strategy="in_place", max_unavailable=max_unavailable, max_wave="100%")

    assert len(emptied_now(steered_hosts(12), policy)) == removed


def test_with_a_surge_an_empty_host_may_go_before_its_successor_is_there_if_the_policy_says_so() -> None:
    assert len(emptied_now(steered_hosts(12), a_policy(max_unavailable=2, max_wave="100%"))) == 2
    assert emptied_now(steered_hosts(12), a_policy(max_unavailable=0)) == []


def test_in_place_hosts_that_are_away_already_count_as_unavailable() -> None:
    policy = a_policy(strategy="in_place", max_unavailable=2, max_wave="100%")

    assert len(emptied_now(steered_hosts(11, first=2), policy, desired=12)) == 1
    assert emptied_now(steered_hosts(10, first=3), policy, desired=12) == []


def test_no_more_hosts_are_in_hand_at_once_than_max_wave_allows() -> None:
    hosts = [
        a_draining_host("avd-001", sessions=1),
        *steered_hosts(11, first=2),
        *hosts_named(6, first=13, version=NEXT),
    ]
    policy = a_policy(surge=6, max_wave=3)

    assert len(emptied_now(hosts, policy, {"avd-001": a_drain()}, desired=12)) == 2


def test_the_reserve_limits_what_is_steered_even_when_there_are_extra_hosts() -> None:
    """13 hosts of 10 slots, 8 people on each: 26 free, 20 to keep; each host costs 2 free slots.

    With 13 to keep, 8 of these must stay free when the 8 people on the first host have moved.
    """
    hosts = [*hosts_named(12, sessions=8), a_host("avd-013", NEXT, sessions=8)]

    assert len(steered_now(hosts, desired=12)) == 3
    assert len(steered_now(hosts, a_policy(reserve=10), desired=12)) == 5


def test_current_hosts_that_have_fallen_sick_spare_nobody() -> None:
    hosts = [*steered_hosts(10), *hosts_named(6, first=11, version=NEXT)]
    hosts[-1] = a_host("avd-016", NEXT, status="Unavailable")
    sick = {"avd-016": MORNING - minutes(10)}
    earlier = MORNING - hours(1)

    assert len(emptied_now(hosts, a_policy(surge=4, max_wave=4), desired=12, started_at=earlier)) == 4
    assert len(emptied_now(hosts, a_policy(surge=4, max_wave=4), desired=12, started_at=earlier, sick=sick)) == 3


# ---------------------------------------------------------------------------------------------------------- which first


def test_sign_ins_are_steered_away_from_the_emptiest_hosts_first() -> None:
    hosts = [a_host("avd-001", sessions=4), a_host("avd-002", sessions=1), a_host("avd-003", sessions=3)]

    assert steered_now(hosts, a_policy(reserve=40), desired=3) == ["avd-002"]


def test_unfit_hosts_are_steered_first_as_they_serve_nobody() -> None:
    hosts = [*hosts_named(3), a_host("avd-004", status="Unavailable"), a_host("avd-005", NEXT)]

    assert steered_now(hosts, desired=4)[0] == "avd-004"


def test_of_the_empty_hosts_those_in_the_zone_with_most_hosts_beyond_its_share_go_first() -> None:
    zones = {"1": 2, "2": 2}
    hosts = [a_draining_host(f"avd-{n:03}", zone="2" if n > 2 else "1") for n in range(1, 5)]
    hosts += [a_host("avd-005", NEXT, zone="2")]

    assert emptied_now(hosts, desired=4, zones=zones) == ["avd-003"]


def test_people_move_to_new_hosts_and_most_of_them_only_once() -> None:
    world = World(a_pool(hosts_named(12, sessions=4)), a_policy(surge=3)).run()
    told = [session for _, notice in world.messages for session in notice.sessions]

    assert len(told) < 2 * 48


def test_hosts_that_others_drained_during_the_rollout_are_replaced_by_drained_ones() -> None:
    world = World(a_pool(hosts_named(4))).run(Phase.BAKING)
    world.change("avd-004", allows_new_sessions=False)
    world.held_by_others.add("avd-004")
    world.run()

    assert sum(not host.allows_new_sessions for host in world.hosts.values()) == 1


# ------------------------------------------------------------------------------------------------------- as others act


def test_an_idle_host_that_somebody_removes_makes_the_pool_smaller() -> None:
    world = World(a_pool(hosts_named(6))).run(Phase.BAKING)
    world.remove("avd-006")
    world.run()

    assert world.told("somebody else removed 1 host: the pool's size is now 5")
    assert world.versions() == {NEXT: 5}


@STRATEGIES
def test_a_host_whose_people_are_leaving_and_that_somebody_removes_is_one_less_to_remove(strategy: str) -> None:
    world = World(a_pool(hosts_named(4, sessions=1)), a_policy(strategy=strategy))
    world.leave_after = None
    world.run(lambda world: world.state.canary_passed and leaving(world))
    (name, *_) = leaving(world)
    world.leave_after = minutes(10)
    world.remove(name)
    world.run()

    assert world.told(f"{name} is gone: somebody else removed it while it was draining")
    assert world.versions() == {NEXT: 4}


@STRATEGIES
def test_a_steered_host_that_somebody_removes_makes_the_pool_smaller(strategy: str) -> None:
    world = World(a_pool(hosts_named(6, sessions=2)), a_policy(strategy=strategy, finish_within=hours(40)))
    world.run(lambda world: world.state.canary_passed and len(world.draining()) > 1 and not world.state.in_hand)
    world.remove(world.draining()[0])
    world.turn()

    assert world.told("somebody else removed 1 host: the pool's size is now 5")


@STRATEGIES
@pytest.mark.parametrize("minute", [1, 5, 7, 10])
def test_a_new_host_that_somebody_removes_before_it_is_in_service_is_made_again(strategy: str, minute: int) -> None:
    world = World(a_pool(hosts_named(4)), a_policy(strategy=strategy)).run(lambda world: world.state.canary_passed)
    world.run(lambda world: any(name.startswith("avd-006") for name in world.hosts))
    world.at(minutes(minute), lambda: world.remove("avd-006"))
    world.run()

    assert world.state.phase is Phase.SUCCEEDED
    assert world.versions() == {NEXT: 4}


def test_a_current_host_that_somebody_removes_makes_the_pool_smaller() -> None:
    world = World(a_pool(hosts_named(6))).run(lambda world: world.versions()[NEXT] == 4 and not world.on_their_way())
    world.remove("avd-007")
    world.run()

    assert world.versions() == {NEXT: 5}


def test_a_pool_of_which_somebody_removes_more_hosts_than_it_had_keeps_the_one_that_is_left() -> None:
    """Two hosts and a surge of two: whoever removes three of the four leaves one, not minus one."""
    world = World(a_pool(hosts_named(2)), a_policy(surge=2, canary={"hosts": 2}))
    world.run(lambda world: world.state.canary_passed)
    for name in ["avd-001", "avd-002", "avd-003"]:
        world.remove(name)
    world.run()

    assert world.state.desired == 1
    assert world.versions() == {NEXT: 1}


@STRATEGIES
def test_a_pool_that_somebody_empties_stays_empty(strategy: str) -> None:
    world = World(a_pool(hosts_named(3)), a_policy(strategy=strategy)).run(Phase.BAKING)
    world.state = structs.replace(world.state, canary_passed=True)
    for name in list(world.hosts):
        world.remove(name)
    world.run()

    assert not world.hosts
    assert world.state.desired == 0


def test_an_outdated_host_that_somebody_adds_is_rolled_and_the_pool_is_larger() -> None:
    world = World(a_pool(hosts_named(3))).run(Phase.BAKING)
    world.put(a_host("avd-900"))
    world.run()

    assert world.told("somebody else added 1 host: the pool's size is now 4")
    assert world.versions() == {NEXT: 4}


def test_a_current_host_that_somebody_adds_stays() -> None:
    world = World(a_pool(hosts_named(3))).run(Phase.BAKING)
    world.put(a_host("avd-900", NEXT))
    world.run()

    assert "avd-900" in world.hosts
    assert world.versions() == {NEXT: 4}


def test_a_registration_that_loses_its_vm_during_the_rollout_is_left_alone() -> None:
    world = World(a_pool(hosts_named(4))).run(Phase.BAKING)
    world.change("avd-004", vm_id="", power="", provisioning="")
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert world.versions() == {NEXT: 3}


@STRATEGIES
def test_a_draining_host_of_which_somebody_removes_the_vm_only_loses_its_registration_too(strategy: str) -> None:
    world = World(a_pool(hosts_named(4, sessions=1)), a_policy(strategy=strategy))
    world.leave_after = None
    world.run(lambda world: world.state.canary_passed and leaving(world))
    (name, *_) = leaving(world)
    world.leave_after = minutes(10)
    world.change(name, vm_id="", tags={}, power="", provisioning="", allows_new_sessions=True)
    world.run(turns=400)

    assert world.state.phase is Phase.SUCCEEDED
    assert name not in world.hosts


@STRATEGIES
def test_a_new_host_of_which_somebody_removes_the_vm_only_loses_its_registration_too(strategy: str) -> None:
    world = World(a_pool(hosts_named(4)), a_policy(strategy=strategy)).run(lambda world: world.state.canary_passed)
    world.run(lambda world: "avd-006" in world.hosts and world.hosts["avd-006"].registration)
    world.change("avd-006", vm_id="", tags={}, power="", provisioning="")
    world.run(turns=400)

    assert world.state.phase is Phase.SUCCEEDED
    assert "avd-006" not in world.hosts
    assert world.versions() == {NEXT: 4}


@STRATEGIES
def test_a_replacement_is_made_even_when_every_outdated_host_is_removed_by_somebody_else(strategy: str) -> None:
    world = World(a_pool(hosts_named(4)), a_policy(strategy=strategy)).run(lambda world: world.state.canary_passed)
    for name in [host for host in list(world.hosts) if host < "avd-005"]:
        world.remove(name)
    world.run()

    assert set(world.versions()) == {NEXT}


# -------------------------------------------------------------------------------------------------------------- removal


@STRATEGIES
def test_a_vm_that_cannot_be_deleted_is_reported_and_does_not_stop_the_rollout(strategy: str) -> None:
    """A lock forbids the deletion of the VM; the registration is gone by then."""
    world = World(a_pool(hosts_named(4)), a_policy(strategy=strategy))
    world.locked.add("avd-003")
    world.run(turns=3000)

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert "avd-003 (RemovalKeepsFailing)" in world.state.message
    assert world.versions()[NEXT] == 4


def test_a_host_whose_registration_cannot_be_deleted_is_given_back_and_reported() -> None:
    world = World(a_pool(hosts_named(4)))
    world.refuse(RemoveHost, StepError("500", "internal error"), host="avd-003")
    world.run(turns=3000)

    assert world.state.skipped == {"avd-003": "RemovalKeepsFailing"}
    assert world.hosts["avd-003"].allows_new_sessions


def test_a_failed_vm_that_cannot_be_deleted_is_reported_and_does_not_stop_the_rollout() -> None:
    world = World(a_pool(hosts_named(3)))
    world.fates["avd-005"] = "no room"
    world.locked.add("avd-005")
    world.run(turns=3000)

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert "avd-005 (RemovalKeepsFailing)" in world.state.message
    assert world.versions() == {NEXT: 3}


# -------------------------------------------------------------------------------------------------------------- windows


def test_nothing_starts_outside_the_window() -> None:
    policy = a_policy(windows=(a_window("20:00", hours(6)),))
    world = World(a_pool(hosts_named(6)), policy)
    world.turn()

    assert not world.done_steps
    assert (world.state.phase, world.state.message) == (Phase.WAITING_WINDOW, "the next window opens at Fri 20:00 UTC")

    world.run()
    starts = [at for at, step in world.done_steps if isinstance(step, ProvisionHost | StartDraining)]
    assert all(at.hour >= 20 or at.hour < 2 for at in starts)
    assert world.state.phase is Phase.SUCCEEDED


@STRATEGIES
def test_what_was_started_in_the_window_is_finished_after_it(strategy: str) -> None:
    policy = a_policy(strategy=strategy, windows=(a_window("08:00", hours(2)),))
    world = World(a_pool(hosts_named(6)), policy).run(lambda world: world.now > MORNING + hours(4))

    assert not world.state.in_hand
    assert len(world.hosts) == 6 or strategy == "surge"


def test_nobody_is_asked_on_a_host_that_cannot_be_finished_before_the_window_closes() -> None:
    policy = a_policy(windows=(a_window("08:00", minutes(60)),), drain={"grace": hours(1)}, max_wave="100%")
    hosts = [*steered_hosts(1), *steered_hosts(1, first=2, sessions=1), *hosts_named(2, first=3, version=NEXT)]

    assert emptied_now(hosts, policy, desired=2) == ["avd-001"]


def test_a_host_whose_people_may_stay_fits_any_window() -> None:
    policy = a_policy(windows=(a_window("08:00", minutes(60)),), drain={"grace": hours(8), "on_timeout": "wait"})
    hosts = [*steered_hosts(1, sessions=1), a_host("avd-002", NEXT)]

    assert emptied_now(hosts, policy, desired=1) == ["avd-001"]


def test_in_place_the_window_must_also_hold_the_provisioning() -> None:
    windows = (a_window("08:00", minutes(30)),)
    assert steered_now(hosts_named(3), a_policy(windows=windows), desired=2)
    assert steered_now(hosts_named(3), a_policy(strategy="in_place", windows=windows)) == []


def test_when_the_window_closes_steered_hosts_serve_people_again_until_the_next_one() -> None:
    policy = a_policy(windows=(a_window("08:00", hours(3)),), finish_within=hours(90))
    world = World(a_pool(hosts_named(6, sessions=3)), policy)
    world.run(lambda world: len(world.draining()) > 3)
    world.run(lambda world: world.now > MORNING + hours(4))

    assert world.told("is given back: the window has closed")
    assert not world.draining()
    assert not world.messages


def test_a_window_too_short_for_anything_says_so() -> None:
    policy = a_policy(strategy="in_place", windows=(a_window("08:00", minutes(30)),))
    world = World(a_pool(hosts_named(3)), policy)
    world.turn()

    assert (world.state.phase, world.state.reason) == (Phase.WAITING_WINDOW, "WindowTooShort")
    assert world.state.message == (
        "no host can be finished before the window closes at 08:30 UTC; the next window opens at Sat 08:00 UTC"
    )


def test_a_window_that_never_opens_again_says_so() -> None:
    policy = a_policy(windows=(a_window("08:00", hours(1), recurrence="FREQ=DAILY;UNTIL=20200101T000000Z"),))
    world = World(a_pool(hosts_named(3)), policy)
    world.turn()

    assert world.state.phase is Phase.WAITING_WINDOW
    assert not world.done_steps


@STRATEGIES
@pytest.mark.parametrize("duration", [hours(1), hours(2), hours(5)])
def test_night_after_night_the_pool_is_finished(strategy: str, duration: timedelta) -> None:
    policy = a_policy(strategy=strategy, windows=(a_window("22:00", duration),))
    world = World(a_pool(hosts_named(5)), policy).run()

    assert world.versions() == {NEXT: 5}
