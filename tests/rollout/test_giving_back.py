"""Giving steered hosts back: when slots get short, when a window closes, when a rollout ends before its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import structs

from rollout.model import HostProgress, Phase, SessionHost, Stage
from rollout.policy import PoolPolicy, hours
from rollout.pool import decide, supersede
from rollout.steering import STARTS_PER_TURN
from rollout.steps import Decision, NotifySessions, SignOutSessions, StartDraining, StepError, StopDraining
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
    version_id,
)
from tests.rollout.world import World

UNHURRIED = {"finish_within": hours(90)}
"""People have days, so nobody is asked to leave yet."""


def decided(
    hosts: list[SessionHost],
    policy: PoolPolicy | None = None,
    in_hand: dict[str, HostProgress] | None = None,
    **state: Any,
) -> Decision:
    """One turn of a rollout in its waves."""
    pool = a_pool(hosts)
    return decide(a_rolling_state(pool, in_hand, **state), pool, policy or a_policy(**UNHURRIED), MORNING)


def steered(decision: Decision) -> list[str]:
    """The hosts that are put into drain mode, in order."""
    return [step.host for step in decision.steps if isinstance(step, StartDraining)]


def given_back(decision: Decision) -> list[str]:
    """The hosts that are put back into service, in order."""
    return [step.host for step in decision.steps if isinstance(step, StopDraining)]


# ---------------------------------------------------------------------------------------------------- for want of slots


def a_pool_with_free(free: int) -> list[SessionHost]:
    """100 slots, 20 of them to keep; so many are free, up to 50.

    Four hosts are steered, with five people each; a fifth outdated one is full, the others are current.
    """
    left, hosts = free, [*steered_hosts(4, sessions=5), a_host("avd-005", sessions=10)]
    for number in range(6, 11):
        here = min(10, left)
        hosts.append(a_host(f"avd-{number:03}", NEXT, sessions=10 - here))
        left -= here
    return hosts


@pytest.mark.parametrize(
    ("free", "back", "taken"),
    [
        (7, ["avd-001", "avd-002"], []),  # up to 80 % of the reserve, which is 16
        (11, ["avd-001"], []),
        (12, [], []),  # 60 %
        (19, [], []),
        (40, [], ["avd-005"]),  # a full host costs nothing
    ],
)
def test_between_the_limit_of_steering_and_that_of_giving_back_nothing_moves(
    free: int, back: list[str], taken: list[str]
) -> None:
    decision = decided(a_pool_with_free(free), a_policy(reserve=20, **UNHURRIED), desired=8)

    assert (given_back(decision), steered(decision)) == (back, taken)


def test_the_fullest_steered_host_is_given_back_first_as_it_would_go_last() -> None:
    hosts = [a_draining_host(f"avd-{n:03}", sessions=n) for n in range(1, 5)]
    hosts += [a_host(f"avd-{n:03}", NEXT, sessions=9) for n in range(5, 11)]

    assert given_back(decided(hosts, desired=8)) == ["avd-004"]


def test_those_who_were_asked_to_leave_may_stay_only_if_giving_back_the_others_is_not_enough() -> None:
    hosts = [a_draining_host("avd-001", sessions=8), *steered_hosts(2, first=2, sessions=2)]
    hosts += [a_host(f"avd-{n:03}", NEXT, sessions=10) for n in range(4, 10)]
    told = {"avd-001": a_drain(told={"avd-001/1": MORNING + hours(1)})}

    assert given_back(decided(hosts, in_hand=told, desired=8)) == ["avd-002", "avd-003"]
    assert given_back(decided(hosts, a_policy(reserve=30, **UNHURRIED), told, desired=8)) == [
        "avd-002",
        "avd-003",
        "avd-001",
    ]


def test_in_a_turn_in_which_a_host_is_given_back_not_even_one_that_costs_nothing_is_steered() -> None:
    hosts = [*steered_hosts(1, sessions=2), a_host("avd-002", status="Unavailable"), *hosts_named(4, first=3)]
    coming_back = {"avd-001": HostProgress(stage=Stage.GIVING_BACK, since=MORNING)}

    assert steered(decided(hosts, in_hand=coming_back, sick={"avd-002": MORNING})) == []
    assert "avd-002" in steered(decided(hosts, sick={"avd-002": MORNING}))


def test_a_host_that_cannot_be_given_back_does_not_keep_the_others_from_being_replaced() -> None:
    pool = a_pool([*steered_hosts(1, sessions=3), *hosts_named(5, first=2), a_host("avd-007", NEXT)])
    told = a_drain(told={"avd-001/1": MORNING}, notices=9)
    world = World(
        pool, a_policy(surge=2, drain={"on_timeout": "skip"}), a_rolling_state(pool, {"avd-001": told}, desired=6)
    )
    world.leave_after = None
    world.refuse(StopDraining, StepError("500", "internal error"), host="avd-001")
    world.run(lambda world: world.versions() == {NEXT: 5, "1.0.0": 1})

    assert world.told("avd-001 cannot be given back: 500: internal error; it will be tried again and again")


def test_however_short_the_slots_are_fifty_hosts_are_given_back_in_a_turn() -> None:
    hosts = [*steered_hosts(300, sessions=5), *hosts_named(60, first=301, version=NEXT, sessions=10)]

    assert len(given_back(decided(hosts, desired=300))) == STARTS_PER_TURN


def test_when_a_rush_is_over_what_was_given_back_is_steered_again() -> None:
    world = World(a_pool(hosts_named(8, sessions=3)), a_policy(reserve=30, **UNHURRIED))
    world.leave_after = None
    world.run(lambda world: len(world.draining()) >= 3 and not world.state.in_hand)
    before = world.draining()
    serving = [host for host in world.hosts.values() if host.allows_new_sessions]
    for host in serving:
        for number in range(10 - host.load):
            world.sign_in(host.name, f"early bird {host.name} {number}")
    world.turn()
    assert len(world.draining()) < len(before)

    for host in serving:
        for session in [s for s in world.hosts[host.name].sessions if "early bird" in s.user]:
            world.sign_out(host.name, session.id)
    world.run(lambda world: len(world.draining()) >= len(before))
    assert not world.messages


# ------------------------------------------------------------------------------------------------- what is remembered


def test_a_thousand_steered_hosts_take_no_room_in_what_travels() -> None:
    hosts = [*steered_hosts(1000, sessions=2), *hosts_named(200, first=1001, version=NEXT)]
    decision = decided(hosts, a_policy(surge="100%", max_creating="100%", **UNHURRIED), desired=200)

    assert "1000 steered" in decision.state.message
    assert not decision.state.in_hand
    assert len(msgspec.json.encode(decision.state)) < 2_000


def test_steered_hosts_stay_steered_when_what_was_in_hand_is_forgotten() -> None:
    """A run that crashed between two turns knows of none of them; tag and drain mode do."""
    decision = decided([*steered_hosts(4, sessions=2), *hosts_named(2, first=5, version=NEXT)], desired=6)

    assert not given_back(decision)
    assert not steered(decision)
    assert "4 steered (8 sessions)" in decision.state.message


def test_a_host_that_another_rollout_has_left_drained_is_given_back_and_then_steered_like_others() -> None:
    hosts = [a_host("avd-001", sessions=2, drained=True, held_by="rollout-1.5.0"), *hosts_named(4, first=2, sessions=2)]
    pool = a_pool(hosts)
    world = World(pool, a_policy(**UNHURRIED), a_rolling_state(pool))
    world.run(lambda world: world.hosts["avd-001"].allows_new_sessions)
    world.run(lambda world: "avd-001" in world.draining())


def test_a_steered_host_whose_drain_mode_somebody_turns_off_is_steered_anew_and_is_no_new_host() -> None:
    world = World(a_pool(hosts_named(6, sessions=2)), a_policy(**UNHURRIED))
    world.leave_after = None
    world.run(lambda world: len(world.draining()) >= 3 and not world.state.in_hand)
    name = world.draining()[0]
    world.change(name, allows_new_sessions=True)
    world.run(lambda world: name in world.draining())

    assert world.state.desired == 6


def test_drain_mode_that_azure_refuses_is_tried_again_and_the_others_are_not_held_up() -> None:
    world = World(a_pool(hosts_named(6, sessions=2)), a_policy(**UNHURRIED))
    world.leave_after = None
    world.refuse(StartDraining, StepError("503", "busy"), host="avd-002", times=3)
    world.run(lambda world: len(world.draining()) >= 3)
    assert "avd-002" not in world.draining()

    world.run(lambda world: "avd-002" in world.draining())
    assert not world.state.skipped


def test_a_host_that_azure_never_lets_us_drain_is_skipped() -> None:
    world = World(a_pool(hosts_named(4)))
    world.refuse(StartDraining, StepError("AuthorizationFailed", "a lock"), host="avd-002")
    world.run()

    assert world.state.skipped == {"avd-002": "StepKeepsFailing"}
    assert world.versions() == {NEXT: 3, "1.0.0": 1}


# -------------------------------------------------------------------------------------------------- giving all back


def halts(world: World) -> None:
    world.image = None


def is_superseded(world: World) -> None:
    world.state = supersede(world.state, version_id("3.0.0"))


def leaves_the_window(world: World) -> None:
    world.policy = structs.replace(world.policy, windows=(a_window("20:00", hours(4)),))


@pytest.mark.parametrize("what_happens", [halts, is_superseded, leaves_the_window])
def test_all_steered_hosts_are_given_back_fifty_in_a_turn_and_nobody_has_noticed(
    what_happens: Callable[[World], None],
) -> None:
    pool = a_pool([*steered_hosts(120, sessions=1), *hosts_named(30, first=121, version=NEXT)])
    world = World(pool, a_policy(**UNHURRIED), a_rolling_state(pool))
    what_happens(world)
    turns = 0
    while world.draining():
        decision = world.turn()
        turns += 1
        assert len(given_back(decision)) <= STARTS_PER_TURN
        assert not [step for step in decision.steps if isinstance(step, NotifySessions | SignOutSessions)]

    assert turns == 3
    assert world.versions() == {"1.0.0": 120, NEXT: 30}


@pytest.mark.parametrize(("what_happens", "phase"), [(halts, Phase.HALTED), (is_superseded, Phase.SUPERSEDED)])
def test_a_rollout_does_not_end_before_the_last_steered_host_is_back(
    what_happens: Callable[[World], None], phase: Phase
) -> None:
    pool = a_pool([*steered_hosts(59, sessions=1), a_host("avd-060", NEXT)])
    world = World(pool, a_policy(**UNHURRIED), a_rolling_state(pool))
    world.refuse(StopDraining, StepError("503", "busy"), host="avd-059", times=4)
    what_happens(world)
    world.run()

    assert world.state.phase is phase
    assert world.nothing_is_left_over()


def test_steered_hosts_serve_people_until_the_next_window_and_are_steered_again_then() -> None:
    policy = a_policy(windows=(a_window("08:00", hours(3)),), **UNHURRIED)
    world = World(a_pool(hosts_named(6, sessions=3)), policy)
    world.run(lambda world: len(world.draining()) > 3)
    before = world.draining()
    world.run(lambda world: not world.draining())
    assert hours(3) < world.now - MORNING < hours(24)

    world.run(lambda world: len(world.draining()) >= len(before))
    assert world.now - MORNING > hours(24)
