"""Session slots: what is free, what may be drained, what is given back, and what to do when Azure has no room."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rollout.capacity import (
    GIVE_BACK_BELOW,
    GIVE_BACK_UP_TO,
    Slots,
    accepts_sign_ins,
    after_draining,
    block,
    choose_to_drain,
    count_slots,
    drain_order,
    free_slots_of,
    give_back_order,
    may_drain,
    may_move,
    sign_in_rate,
)
from rollout.model import HostPool, Phase, SessionHost, UserSession
from rollout.policy import hours, minutes
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
)
from tests.rollout.world import NO_ROOM, World

POOL: HostPool = a_pool().pool
STRATEGIES = pytest.mark.parametrize("strategy", ["surge", "in_place"])


def names(hosts: Iterable[SessionHost]) -> list[str]:
    return [host.name for host in hosts]


# --------------------------------------------------------------------------------------------------------- counting


@pytest.mark.parametrize("status", ["Available", "NeedsAssistance", "Upgrading", "UpgradeFailed"])
def test_avd_brokers_sign_ins_to_hosts_of_these_statuses(status: str) -> None:
    assert free_slots_of(a_host(sessions=3, status=status), POOL) == 7


@pytest.mark.parametrize(
    "host",
    [
        a_host(status="Unavailable"),
        a_host(status="Shutdown"),
        a_host(status="NoHeartbeat"),
        a_host(status="DomainTrustRelationshipLost"),
        a_host(status="SomethingNew"),
        a_host(status=""),
        a_host(drained=True),
        a_host(powered_off=True),
        a_host(power=""),
        a_host(vm_id=""),
    ],
)
def test_a_host_that_accepts_no_sign_ins_has_no_free_slots(host: SessionHost) -> None:
    assert not accepts_sign_ins(host)
    assert free_slots_of(host, POOL) == 0


def test_a_host_above_its_session_limit_has_no_free_slots_rather_than_negative_ones() -> None:
    assert free_slots_of(a_host(sessions=12), POOL) == 0


def test_the_larger_of_listed_and_counted_sessions_is_believed() -> None:
    assert free_slots_of(a_host(sessions=2, session_count=5), POOL) == 5
    assert free_slots_of(a_host(sessions=5, session_count=2), POOL) == 5


def test_the_reserve_is_a_share_of_the_slots_of_hosts_that_accept_sign_ins_rounded_up() -> None:
    hosts = [*hosts_named(3, sessions=2), a_host("avd-004", powered_off=True), a_host("avd-005", drained=True)]
    slots = count_slots(POOL, hosts, [], 15)

    assert (slots.free, slots.reserve, slots.accepting) == (24, 5, 3)


def test_the_reserve_does_not_shrink_as_hosts_are_drained() -> None:
    """15 % of 60 slots are 9, whether three of the six hosts are drained or none."""
    hosts, drained = hosts_named(3, sessions=2), [a_draining_host(f"avd-{n:03}", sessions=1) for n in (4, 5, 6)]
    slots = count_slots(POOL, hosts, drained, 15)

    assert (slots.free, slots.reserve, slots.at_work) == (24, 9, 3)


def test_drained_hosts_that_would_not_accept_anybody_count_for_nothing() -> None:
    drained = [a_draining_host("avd-004", status="Unavailable"), a_draining_host("avd-005", powered_off=True)]

    assert count_slots(POOL, hosts_named(3), drained, 15).reserve == 5


def test_no_more_is_kept_than_a_pool_has_without_one_of_its_hosts() -> None:
    assert count_slots(POOL, hosts_named(2), [], 60).reserve == 10
    assert count_slots(POOL, hosts_named(1), [], 60).reserve == 0
    assert count_slots(POOL, [], [], 60).reserve == 0


def test_where_many_sign_ins_are_expected_more_is_kept_than_the_share() -> None:
    """20 sign-ins while a new host is made, times 1.2, are more than 15 % of 100 slots."""
    assert count_slots(POOL, hosts_named(10), [], 15, forecast=20).reserve == 24
    assert count_slots(POOL, hosts_named(10), [], 15, forecast=5).reserve == 15


# ---------------------------------------------------------------------------------------------------------- sign-ins


def began(*minutes_ago: float) -> list[SessionHost]:
    """A host with sessions that began so many minutes ago."""
    sessions = [UserSession(str(n), f"person-{n}", began=MORNING - minutes(ago)) for n, ago in enumerate(minutes_ago)]
    return [structs.replace(a_host(), sessions=tuple(sessions))]


def test_sign_ins_of_the_last_hour_are_the_rate() -> None:
    assert sign_in_rate(began(15, 30, 45, 59, 61, 600), MORNING) == 4


def test_when_a_shift_begins_the_last_ten_minutes_are_the_rate() -> None:
    assert sign_in_rate(began(1, 2, 3, 4, 5, 30), MORNING) == 30


def test_two_sign_ins_in_ten_minutes_are_chance() -> None:
    assert sign_in_rate(began(1, 2, 30), MORNING) == 3


def test_sessions_that_do_not_say_when_they_began_are_no_sign_ins() -> None:
    assert sign_in_rate(hosts_named(3, sessions=4), MORNING) == 0


# ------------------------------------------------------------------------------------------------------------ draining


def slots(free: int, reserve: int, accepting: int = 4, at_work: int = 0) -> Slots:
    """Session slots of a pool with so many hosts that accept sign-ins."""
    return Slots(free=free, reserve=reserve, accepting=accepting, at_work=at_work)


def test_draining_a_host_takes_its_free_slots_and_its_people_stay_on_it() -> None:
    assert after_draining(slots(30, 6), a_host(sessions=4), POOL) == slots(24, 6, accepting=3, at_work=4)


def test_a_host_may_be_drained_only_if_the_reserve_stays_free() -> None:
    assert may_drain(slots(11, 5), a_host(sessions=4), POOL)
    assert not may_drain(slots(10, 5), a_host(sessions=4), POOL)


def test_a_full_host_costs_nothing_to_drain() -> None:
    assert may_drain(slots(5, 5), a_host(sessions=10), POOL)


def test_the_last_host_that_accepts_sign_ins_may_be_drained_only_when_nobody_is_at_work() -> None:
    assert may_drain(slots(10, 0, accepting=1), a_host(), POOL)
    assert may_drain(slots(9, 0, accepting=1), a_host(disconnected=1), POOL)
    assert not may_drain(slots(9, 0, accepting=1), a_host(sessions=1), POOL)
    assert not may_drain(slots(10, 0, accepting=1, at_work=1), a_host(), POOL)


def test_people_may_be_asked_to_go_elsewhere_while_no_host_must_be_given_back_for_it() -> None:
    assert may_move(slots(20, 10), 14)
    assert not may_move(slots(20, 10), 15)


@pytest.mark.parametrize("host", [a_host(powered_off=True), a_host(drained=True), a_host(status="Unavailable")])
def test_a_host_that_accepts_no_sign_ins_may_always_be_drained(host: SessionHost) -> None:
    assert may_drain(slots(-5, 15), host, POOL)


def test_hosts_are_drained_switched_off_first_then_unfit_then_by_fewest_sessions() -> None:
    hosts = [
        a_host("avd-001", sessions=5),
        a_host("avd-002", sessions=1),
        a_host("avd-003", sessions=7, status="Unavailable"),
        a_host("avd-004", powered_off=True),
        a_host("avd-005", sessions=1),
        a_host("avd-006"),
    ]

    assert names(drain_order(hosts)) == ["avd-004", "avd-003", "avd-006", "avd-002", "avd-005", "avd-001"]


def test_hosts_are_given_back_fullest_first() -> None:
    hosts = [a_host("avd-001", sessions=2), a_host("avd-002", sessions=5), a_host("avd-003", sessions=5)]

    assert names(give_back_order(hosts)) == ["avd-002", "avd-003", "avd-001"]


def test_among_hosts_alike_one_zone_after_the_other_is_drained() -> None:
    hosts = [a_host(f"avd-{n:03}", zone="1" if n < 4 else "2") for n in range(1, 7)]

    assert names(drain_order(hosts)) == ["avd-001", "avd-004", "avd-002", "avd-005", "avd-003", "avd-006"]


def test_hosts_are_drained_while_the_reserve_holds_and_the_first_that_it_forbids_is_named() -> None:
    """50 slots, 10 of them taken, 8 to keep: four hosts leave 8 of 10 on the fifth."""
    hosts = hosts_named(5, sessions=2)
    chosen, left, refused = choose_to_drain(hosts, count_slots(POOL, hosts, [], 15), POOL, limit=5)

    assert names(chosen) == ["avd-001", "avd-002", "avd-003", "avd-004"]
    assert left.free == 8
    assert refused == hosts[4]


def test_no_more_hosts_are_drained_than_the_limit_says() -> None:
    chosen, _, refused = choose_to_drain(hosts_named(5), slots(50, 0, accepting=5), POOL, limit=2)

    assert names(chosen) == ["avd-001", "avd-002"]
    assert refused is None


def test_an_empty_host_that_is_too_dear_does_not_hold_up_the_full_one_behind_it() -> None:
    hosts = [a_host("avd-001"), a_host("avd-002", sessions=9), a_host("avd-003", sessions=9)]
    chosen, _, refused = choose_to_drain(hosts, slots(12, 11, accepting=3), POOL, limit=3)

    assert names(chosen) == ["avd-002"]
    assert refused == hosts[0]


@given(loads=st.lists(st.integers(0, 12), min_size=2, max_size=30), percent=st.integers(0, 100))
def test_however_many_hosts_are_drained_the_reserve_stays_free(loads: list[int], percent: int) -> None:
    hosts = [a_host(f"avd-{n:03}", sessions=load) for n, load in enumerate(loads, 1)]
    before = count_slots(POOL, hosts, [], percent)
    chosen, left, _ = choose_to_drain(hosts, before, POOL, limit=len(hosts))
    staying = [host for host in hosts if host not in chosen]

    assert left.free == sum(free_slots_of(host, POOL) for host in staying)
    assert not chosen or left.free >= before.reserve or not any(loads)


@given(free=st.integers(-20, 200), hosts=st.integers(2, 20), load=st.integers(0, 9), percent=st.integers(1, 100))
def test_a_host_that_has_just_been_given_back_may_not_be_drained_again_at_once(
    free: int, hosts: int, load: int, percent: int
) -> None:
    """The two limits lie apart: what has been given back is not taken again."""
    reserve = min(math.ceil(hosts * 10 * percent / 100), hosts * 10 - 10)
    short = Slots(free=free, reserve=reserve, accepting=hosts - 1)
    if short.are_short:
        back = structs.replace(short, free=free + 10 - load, accepting=hosts)
        assert not may_drain(back, a_host(sessions=load), POOL)


def test_the_limit_for_giving_back_lies_below_the_limit_for_draining() -> None:
    assert 0 < GIVE_BACK_BELOW < GIVE_BACK_UP_TO < 1
    assert not slots(15, 15).are_short
    assert not slots(9, 15).are_short
    assert slots(8, 15).are_short
    assert slots(11, 15).are_short_of_enough
    assert not slots(12, 15).are_short_of_enough


# --------------------------------------------------------------------------------------------------------- giving back


def rush(world: World, people: int) -> None:
    """So many people sign in at once."""
    for number in range(people):
        free = [host for host in world.hosts.values() if accepts_sign_ins(host) and free_slots_of(host, world.pool)]
        world.sign_in(min(free, key=lambda host: (host.load, host.name)).name, f"early bird {number}")


def draining_world(**policy: object) -> World:
    """Six hosts of ten slots; on two of them people are asked to leave and take their time; 30 slots are free."""
    hosts = [
        a_draining_host("avd-001", sessions=3),
        a_draining_host("avd-002", sessions=5),
        *hosts_named(2, first=3, sessions=3, version=NEXT),
        *hosts_named(2, first=5, sessions=2, version=NEXT),
    ]
    pool = a_pool(hosts)
    in_hand = {"avd-001": a_drain(), "avd-002": a_drain()}
    world = World(pool, a_policy(**policy), a_rolling_state(pool, in_hand, desired=5))
    world.leave_after = None
    world.turn()
    return world


def test_when_slots_get_short_the_fullest_draining_host_is_given_back_and_its_people_may_stay() -> None:
    world = draining_world()
    rush(world, 27)
    world.turn()

    assert world.hosts["avd-002"].allows_new_sessions
    assert not world.hosts["avd-002"].is_tagged
    assert not world.hosts["avd-001"].allows_new_sessions, "one is enough"
    (notice,) = [n for _, n in world.messages if n.title == world.policy.drain.notice.withdrawn_title]
    assert (notice.host, len(notice.sessions)) == ("avd-002", 5)
    assert world.told("avd-002 is given back: free session slots are down to 3, the reserve is 9")


def test_nobody_is_told_that_they_may_stay_who_was_never_told_to_leave() -> None:
    pool = a_pool([a_draining_host("avd-001", sessions=3), *hosts_named(2, first=2, sessions=10)])
    world = World(pool, state=a_rolling_state(pool, {"avd-001": a_drain()}, desired=2))
    world.policy = a_policy(reserve=30)
    world.turn()

    assert world.hosts["avd-001"].allows_new_sessions
    assert not world.messages


def test_while_slots_stay_short_a_host_given_back_stays_in_service() -> None:
    world = draining_world(drain={"grace": hours(8)})
    rush(world, 27)
    world.run_for(hours(4))

    assert len(world.steps(StartDraining, "avd-002")) == 0
    assert world.times_told("avd-002 is given back") == 1


def test_load_that_swings_around_the_limit_does_not_make_a_host_flap() -> None:
    world = draining_world(surge=2)
    rush(world, 25)

    def swing(there: bool) -> None:
        if there:
            world.sign_in("avd-003", "swinger")
        else:
            for session in [s for s in world.hosts["avd-003"].sessions if s.user == "swinger"]:
                world.sign_out("avd-003", session.id)
        world.at(minutes(3), lambda: swing(not there))

    swing(True)
    world.run_for(hours(3))
    assert world.times_told("is given back") <= 1


def test_a_host_that_would_not_accept_anybody_is_not_given_back_for_want_of_slots() -> None:
    hosts = [a_draining_host("avd-001", sessions=5, status="Unavailable"), a_draining_host("avd-002", sessions=2)]
    pool = a_pool([*hosts, a_host("avd-003", sessions=10), a_host("avd-004", NEXT, sessions=10)])
    world = World(pool, state=a_rolling_state(pool, {"avd-001": a_drain(), "avd-002": a_drain()}))
    world.turn()

    assert not world.hosts["avd-001"].allows_new_sessions
    assert world.hosts["avd-002"].allows_new_sessions


def test_a_host_that_somebody_else_drained_is_not_given_back_for_want_of_slots() -> None:
    pool = a_pool([a_draining_host("avd-001", sessions=2), *hosts_named(2, first=2, sessions=10)])
    world = World(pool, state=a_rolling_state(pool, {"avd-001": a_drain(stays_drained=True)}))
    world.turn()

    assert not world.hosts["avd-001"].allows_new_sessions


def test_a_pool_too_full_to_drain_waits_and_says_what_it_waits_for() -> None:
    world = World(a_pool(hosts_named(4, sessions=9)), a_policy(canary={"bake": minutes(5)}, reserve=40)).run(
        Phase.WAITING_CAPACITY
    )

    assert world.state.reason == "ReserveTooSmall"
    assert world.state.message.startswith("draining avd-001 with its 9 sessions would leave")
    assert not world.steps(StartDraining, "avd-001")

    for host in list(world.hosts.values()):
        for session in host.sessions[:5]:
            world.sign_out(host.name, session.id)
    assert world.run().state.phase is Phase.SUCCEEDED


# -------------------------------------------------------------------------------------------------- no room in Azure


def test_the_pauses_between_attempts_grow_from_5_to_30_minutes() -> None:
    blocked, now, pauses = None, MORNING, []
    for _ in range(8):
        blocked = block(blocked, "AllocationFailed", "no room", now)
        pauses.append(int((blocked.retry_at - now) / timedelta(minutes=1)))
        now = blocked.retry_at

    assert pauses == [5, 10, 15, 20, 25, 30, 30, 30]
    assert blocked is not None
    assert blocked.since == MORNING


def test_refusals_that_arrive_together_count_as_one_attempt() -> None:
    first = block(None, "AllocationFailed", "no room", MORNING)

    assert block(first, "AllocationFailed", "no room", MORNING + minutes(1)) == first


@STRATEGIES
def test_vms_for_which_azure_had_no_room_are_taken_away_and_fail_no_host(strategy: str) -> None:
    world = World(a_pool(hosts_named(3)), a_policy(strategy=strategy))
    world.fate = NO_ROOM
    world.run(lambda world: world.state.blocked and world.state.blocked.attempts >= 3)
    assert not world.state.quarantined
    assert len([host for host in world.hosts.values() if host.provisioning == "Failed"]) <= 1

    world.fate = "good"
    world.run()
    assert world.state.phase is Phase.SUCCEEDED
    assert world.versions() == {NEXT: 3}
    assert "avd-004" not in world.hosts, "a VM that failed was taken away, and its name does not come back"


def test_while_a_probe_for_room_is_on_its_way_no_other_is_sent_after_it() -> None:
    world = World(a_pool(hosts_named(12)), a_policy(surge=4)).run(lambda world: world.state.canary_passed)
    world.fate = NO_ROOM
    world.run(lambda world: world.state.blocked)
    before = len(world.steps(ProvisionHost))
    world.run(lambda world: world.state.blocked and world.state.blocked.attempts >= 2)

    assert len(world.steps(ProvisionHost)) == before + 1


def test_a_probe_on_its_way_is_not_looked_at_every_few_seconds() -> None:
    world = World(a_pool(hosts_named(3)))
    world.fate = NO_ROOM
    world.run(lambda world: world.state.blocked)
    turns = 0
    start = world.now
    while world.now < start + hours(2):
        world.turn()
        turns += 1

    assert turns < 150


@STRATEGIES
def test_when_the_quota_has_been_raised_the_rollout_continues(strategy: str) -> None:
    world = World(a_pool(hosts_named(4)), a_policy(strategy=strategy, surge=2))
    world.refuse(ProvisionHost, StepError("OperationNotAllowed", "exceeding approved quota", retriable=False))
    world.run_for(hours(2))
    assert (world.state.phase, world.state.reason) == (Phase.WAITING_CAPACITY, "OperationNotAllowed")

    world.allow_everything()
    assert world.run().versions() == {NEXT: 4}


def test_throttling_that_bears_the_code_of_a_full_quota_is_not_taken_for_one() -> None:
    world = World(a_pool(hosts_named(2)))
    world.refuse(ProvisionHost, StepError("OperationNotAllowed", "too many requests", retry_after=120), times=1)
    world.turn()

    assert world.state.blocked is None
    assert list(world.state.in_hand) == ["avd-003"]
    assert world.run().state.phase is Phase.SUCCEEDED


def test_while_there_is_no_room_outdated_hosts_that_have_a_replacement_still_go() -> None:
    world = World(a_pool(hosts_named(6)), a_policy(surge=2)).run(lambda world: world.state.canary_passed)
    world.fate = NO_ROOM
    world.run_for(hours(2))

    assert world.steps(RemoveHost)
    assert world.state.phase is Phase.WAITING_CAPACITY


def test_no_room_outside_the_window_is_not_tried_again_before_the_next_one() -> None:
    world = World(a_pool(hosts_named(3)), a_policy(windows=(a_window("08:00", hours(2)),)))
    world.fate = NO_ROOM
    world.run_for(hours(12))

    assert max(at for at, step in world.done_steps if isinstance(step, ProvisionHost)) < MORNING + hours(2)
