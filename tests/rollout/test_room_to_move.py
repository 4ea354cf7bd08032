"""Room for the people who are asked to leave: where it is, where it is not, and how many it is worth to ask."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from rollout.capacity import block
from rollout.model import HostProgress, Phase, PoolSnapshot, RolloutState, SessionHost, Stage
from rollout.policy import PoolPolicy, hours, minutes
from rollout.pool import decide
from rollout.steps import Decision, NotifySessions, ProvisionHost, RemoveHost, SignOutSessions, StepError
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
    steered_hosts,
)
from tests.rollout.world import World

BUSY = {"avd-900": HostProgress(stage=Stage.REMOVING, since=MORNING, retry_at=MORNING + minutes(1))}
"""Something goes on, a host is being removed, so that the rollout can afford to wait."""

NO_QUOTA = block(None, "OperationNotAllowed", "the quota is used up", MORNING)


def decided(
    hosts: list[SessionHost],
    policy: PoolPolicy | None = None,
    in_hand: dict[str, HostProgress] | None = None,
    *,
    load_balancer: str = "BreadthFirst",
    **state: Any,
) -> Decision:
    """One turn of a rollout in its waves; without a reserve, with five extra hosts, unless `policy` says otherwise."""
    in_hand = BUSY if in_hand is None else in_hand
    going = [a_draining_host(name) for name, host in in_hand.items() if host.stage is Stage.REMOVING]
    pool = a_pool([*hosts, *going], load_balancer=load_balancer)
    known = a_rolling_state(pool, in_hand, **{"desired": len(hosts), **state})
    return decide(known, pool, policy or a_policy(reserve=0, surge=5, max_wave="100%"), MORNING)


def asked(decision: Decision) -> list[str]:
    """The hosts whose people are asked to leave."""
    return [name for name, host in decision.state.in_hand.items() if host.asked]


# ------------------------------------------------------------------------------------------------------ room for them


@pytest.mark.parametrize(("free", "hosts"), [(3, []), (4, ["avd-001"]), (7, ["avd-001"]), (8, ["avd-001", "avd-002"])])
def test_a_host_is_asked_when_the_last_of_its_people_has_a_place_on_a_host_that_stays(
    free: int, hosts: list[str]
) -> None:
    """Three hosts with four people each; what is free is so on the only current host."""
    current = a_host("avd-004", NEXT, sessions=10 - free)

    assert asked(decided([*steered_hosts(3, sessions=4), current])) == hosts


def test_those_who_have_been_asked_already_need_a_place_too() -> None:
    hosts = [*steered_hosts(3, sessions=4), a_host("avd-004", NEXT, sessions=2)]
    told = {"avd-001": a_drain(told={f"avd-001/{n}": MORNING + hours(1) for n in range(1, 5)})}

    assert asked(decided(hosts, in_hand=told)) == ["avd-001", "avd-002"]


def test_room_on_outdated_hosts_does_not_count_as_whoever_went_there_would_have_to_leave_again() -> None:
    hosts = [*steered_hosts(2, sessions=4), a_host("avd-003"), a_host("avd-004", NEXT, sessions=8)]

    assert asked(decided(hosts, a_policy(reserve=30, surge=5, max_wave="100%"))) == []


@pytest.mark.parametrize("off", [True, False])
def test_a_host_on_its_way_that_will_be_switched_off_or_drained_is_no_room(*, off: bool) -> None:
    coming = {
        "avd-901": HostProgress(stage=Stage.PROVISIONING, since=MORNING, stays_off=off, stays_drained=not off),
    }
    hosts = [*steered_hosts(3, sessions=4), a_host("avd-004", NEXT, sessions=10)]

    assert asked(decided(hosts, in_hand=coming)) == []


def test_waves_grow_as_new_hosts_come_into_service() -> None:
    """Five people on each: n current hosts take the people of 2 n others."""

    def wave(current: int) -> int:
        hosts = [*steered_hosts(30, sessions=5), *hosts_named(current, first=31, version=NEXT)]
        return len(asked(decided(hosts, a_policy(reserve=0, surge=20, max_wave="100%"))))

    assert [wave(current) for current in (1, 2, 4, 8)] == [2, 4, 8, 16]


def test_no_more_are_asked_than_can_be_replaced_while_they_take_their_time() -> None:
    """A host every 35 minutes is not quite three in an hour; nobody is asked instead of an empty host that waits."""
    policy = a_policy(reserve=0, surge=1, max_wave="100%")
    current = hosts_named(4, first=11, version=NEXT)

    assert len(asked(decided([*steered_hosts(10, sessions=1), *current], policy))) == 3
    waiting = [*steered_hosts(8, sessions=1), *steered_hosts(2, first=9)]
    assert len(asked(decided([*waiting, *current], policy))) == 1


def test_while_nobody_can_be_asked_and_nothing_else_goes_on_the_reason_is_said() -> None:
    hosts = [*steered_hosts(1, sessions=4), a_host("avd-004", NEXT, sessions=6)]
    decision = decided(hosts, a_policy(surge=5, reserve=30), {}, desired=1)

    assert (decision.phase, decision.state.reason) == (Phase.WAITING_CAPACITY, "ReserveTooSmall")
    assert decision.state.message == (
        "the 4 sessions on avd-001 would need a place elsewhere: "
        "4 slots are free on current hosts, 4 in all, and the reserve is 6"
    )


# -------------------------------------------------------------------------------------------------- how they are placed


def one_in_service(sessions: int) -> list[SessionHost]:
    """Two steered hosts with two people each, an outdated one in service with so many, and an empty current one."""
    return [*steered_hosts(2, sessions=2), a_host("avd-003", sessions=sessions), a_host("avd-004", NEXT)]


@pytest.mark.parametrize(
    ("sessions", "hosts"), [(0, []), (1, []), (2, ["avd-001"]), (3, ["avd-001"]), (4, ["avd-001", "avd-002"])]
)
def test_breadth_first_people_land_on_current_hosts_for_as_long_as_these_are_emptier(
    sessions: int, hosts: list[str]
) -> None:
    """Another host that accepts sign-ins cannot be steered: fourteen of forty slots must stay free."""
    assert asked(decided(one_in_service(sessions), a_policy(reserve=35, surge=5, max_wave="100%"))) == hosts


def test_depth_first_people_land_on_a_full_outdated_host_no_more_than_on_one_that_is_steered() -> None:
    hosts = [*steered_hosts(2, sessions=2), a_host("avd-003", sessions=10, status="Unavailable"), a_host("avd-4", NEXT)]

    assert asked(decided(hosts, load_balancer="DepthFirst"))[:2] == ["avd-001", "avd-002"]


def test_depth_first_a_pool_with_people_on_it_is_rolled_to_its_end_and_nobody_is_refused() -> None:
    world = World(a_pool(hosts_named(8, sessions=4), load_balancer="DepthFirst"), a_policy(surge=2)).run()

    assert world.state.phase is Phase.SUCCEEDED
    assert world.refused_sign_ins == 0


# ------------------------------------------------------------------------------------------- what was left behind


def test_a_host_with_disconnected_sessions_only_is_emptied_without_a_word_whatever_the_time() -> None:
    policy = a_policy(finish_within=hours(90), drain={"disconnected_grace": minutes(15)})
    hosts = [*steered_hosts(1, disconnected=2), *steered_hosts(1, first=2, sessions=1), a_host("avd-003", NEXT)]
    pool = a_pool(hosts)
    world = World(pool, policy, a_rolling_state(pool, desired=2))
    assert list(world.turn().state.in_hand) == ["avd-001"]

    world.run(lambda world: "avd-001" not in world.hosts)
    (removed_at,) = {at for at, step in world.done_steps if isinstance(step, RemoveHost)}
    assert minutes(15) <= removed_at - MORNING < minutes(25)
    assert not world.messages
    assert (world.state.disconnected_sign_outs, world.state.forced_sign_outs) == (2, 0)


def test_somebody_who_comes_back_to_a_host_in_hand_hears_nothing_before_it_is_time() -> None:
    hosts = [a_draining_host("avd-001", sessions=1, disconnected=1), *hosts_named(2, first=2, version=NEXT)]
    quiet = {"avd-001": a_drain(asked=False)}

    def told(policy: PoolPolicy) -> list[tuple[str, ...]]:
        steps = decided(hosts, policy, quiet, desired=3).steps
        return [step.sessions for step in steps if isinstance(step, NotifySessions)]

    assert told(a_policy(finish_within=hours(90))) == []
    assert told(a_policy(max_wave="100%")) == [("avd-001/1",)]


def test_hosts_to_which_people_have_come_back_do_not_keep_the_empty_ones_waiting() -> None:
    """Three of twelve hosts are the most that may be in hand, and that many were there with people who had gone."""
    policy = a_policy(finish_within=hours(40), surge=3, reserve=0)
    pool = a_pool(
        [*steered_hosts(3, disconnected=3), *steered_hosts(9, first=4), *hosts_named(3, first=13, version=NEXT)]
    )
    world = World(
        pool, policy, a_rolling_state(pool, {f"avd-00{n}": a_drain(asked=False) for n in (1, 2, 3)}, desired=12)
    )
    for name in ("avd-001", "avd-002", "avd-003"):
        for session in world.hosts[name].sessions:
            world.set_session_state(name, session.id, "Active")
    world.run(lambda world: len(world.draining()) == 3)

    assert world.draining() == ["avd-001", "avd-002", "avd-003"]
    assert not world.messages


def test_a_host_that_is_the_only_one_that_may_be_in_hand_is_asked_when_people_come_back_to_it() -> None:
    pool = a_pool([*steered_hosts(1, disconnected=1), *hosts_named(2, first=2, version=NEXT)])
    world = World(pool, a_policy(max_wave=1), a_rolling_state(pool, desired=2))
    world.turn()
    assert list(world.state.in_hand) == ["avd-001"]

    world.set_session_state("avd-001", "avd-001/1", "Active")
    assert world.run().versions() == {NEXT: 2}


def test_while_azure_has_no_room_for_new_hosts_nobody_is_asked_to_leave_for_nothing() -> None:
    pool = a_pool([*steered_hosts(11, sessions=3), a_host("avd-012", NEXT)])
    world = World(pool, a_policy(reserve=0), a_rolling_state(pool, desired=12, blocked=NO_QUOTA))
    world.leave_after = None
    world.refuse(ProvisionHost, StepError("OperationNotAllowed", "the quota is used up", retriable=False))
    world.run_for(hours(10))
    assert not world.messages

    world.allow_everything()
    world.run(lambda world: world.messages)


def test_in_place_the_first_are_signed_out_to_outdated_hosts_as_there_are_no_others() -> None:
    told = a_drain(told={f"avd-001/{n}": MORNING for n in range(1, 5)}, notices=9)
    hosts = [a_draining_host("avd-001", sessions=4), *hosts_named(3, first=2, sessions=2)]
    decision = decided(hosts, a_policy(strategy="in_place"), {"avd-001": told})

    assert [step.forced for step in decision.steps if isinstance(step, SignOutSessions)] == [4]


# ----------------------------------------------------------------------------------------------- whatever the pool is


@st.composite
def rollouts_under_way(draw: st.DrawFn) -> tuple[PoolSnapshot, RolloutState, PoolPolicy]:
    """A pool of ten slots a host, somewhere in its waves: steered, asked, in service, current, being made."""
    hosts, in_hand = [], {}
    for number in range(1, draw(st.integers(1, 25)) + 1):
        name, load, gone = f"avd-{number:03}", draw(st.integers(0, 10)), draw(st.integers(0, 2))
        kind = draw(st.sampled_from(["steered", "steered", "asked", "quiet", "in service", "current", "current"]))
        gone = min(gone, 10 - load)
        if kind in ("in service", "current"):
            version = NEXT if kind == "current" else "1.0.0"
            hosts.append(a_host(name, version, sessions=load, disconnected=gone))
        else:
            hosts.append(a_draining_host(name, sessions=load, disconnected=gone))
        if kind in ("asked", "quiet"):
            in_hand[name] = a_drain(asked=kind == "asked")
    for number in range(draw(st.integers(0, 4))):
        off = draw(st.booleans())
        in_hand[f"avd-9{number:02}"] = HostProgress(stage=Stage.PROVISIONING, since=MORNING, stays_off=off)
    policy = a_policy(
        strategy=draw(st.sampled_from(["surge", "in_place"])),
        surge=draw(st.integers(1, 30)),
        max_unavailable=draw(st.integers(0, 5)),
        max_wave="100%",
        reserve=draw(st.integers(0, 40)),
        drain={"grace": draw(st.sampled_from([minutes(20), hours(1), hours(8)])), "reminders": ()},
    )
    pool = a_pool(hosts, load_balancer=draw(st.sampled_from(["BreadthFirst", "DepthFirst"])))
    size = len(hosts) + sum(host.stage is Stage.PROVISIONING for host in in_hand.values())  # none is too many
    return pool, a_rolling_state(pool, in_hand, desired=size), policy


@given(rollouts_under_way())
def test_wherever_a_rollout_stands_all_who_are_asked_fit_the_free_slots_of_hosts_that_stay(
    situation: tuple[PoolSnapshot, RolloutState, PoolPolicy],
) -> None:
    """The rule by which nobody is moved twice: each wave fits the hosts that are current by the time it moves.

    The one exception: where nothing goes on at all, one host is asked, and whoever lands on an outdated one is spared.
    """
    pool, state, policy = situation
    decision = decide(state, pool, policy, MORNING)
    if any("the pool has more than before" in sentence for sentence in decision.story):
        event("a host that the pool has too many is emptied, when all else is replaced")
        return
    after = decision.state.in_hand
    now = {name for name, host in after.items() if host.asked}
    if not now - {name for name, host in state.in_hand.items() if host.asked}:
        event("nobody is asked")
        return
    in_time = policy.expected_provisioning <= policy.drain.grace
    coming = [host for host in state.in_hand.values() if host.stage is Stage.PROVISIONING and not host.stays_off]
    room = sum(10 - host.load for host in pool.hosts if host.image_version_id.endswith(NEXT))
    room += 10 * len(coming) * in_time
    moving = sum(host.at_work for host in pool.hosts if host.name in now)
    # Hosts in hand that are not asked are put back among the steered ones as soon as somebody is at work on them.
    nothing_goes_on = all(host.stage is Stage.DRAINING and not host.asked for host in state.in_hand.values())
    the_exception = nothing_goes_on and len(now) == 1
    event("one is asked as nothing else goes on" if the_exception and moving > room else "there is room")

    assert moving <= room or the_exception
