"""Session slots: what is free, what may be drained, what is given back, and what to do when Azure has no room."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.capacity import (
    GIVE_BACK_BELOW,
    Slots,
    accepts_sign_ins,
    after_draining,
    block,
    choose_wave,
    count_slots,
    drain_order,
    free_slots_of,
    give_back_order,
    may_drain,
)
from rollout.model import HostPool, Phase, SessionHost
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


def names(hosts: list[SessionHost]) -> list[str]:
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
    slots = count_slots(POOL, hosts, 15)

    assert (slots.total, slots.free, slots.reserve) == (30, 24, 5)


# ------------------------------------------------------------------------------------------------------------ draining


def test_draining_a_host_takes_its_free_slots_and_a_slot_elsewhere_for_each_of_its_people() -> None:
    assert after_draining(Slots(40, 30, 15), a_host(sessions=4), POOL) == Slots(30, 20, 15, leaving=4)


def test_a_host_may_be_drained_only_if_the_reserve_stays_free_with_its_people_elsewhere() -> None:
    assert may_drain(Slots(40, 15, 15), a_host(sessions=4), POOL)  # 5 of 30 left, 5 to keep
    assert not may_drain(Slots(40, 14, 15), a_host(sessions=4), POOL)


@pytest.mark.parametrize("host", [a_host(powered_off=True), a_host(drained=True), a_host(status="Unavailable")])
def test_an_empty_host_that_serves_nobody_may_always_be_drained(host: SessionHost) -> None:
    assert may_drain(Slots(10, -5, 15), host, POOL)


def test_people_on_a_host_that_accepts_no_sign_ins_need_slots_elsewhere_all_the_same() -> None:
    assert not may_drain(Slots(10, 3, 10), a_host(sessions=3, drained=True), POOL)
    assert may_drain(Slots(10, 4, 10), a_host(sessions=3, drained=True), POOL)


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


def test_a_wave_takes_hosts_while_the_reserve_holds_and_names_the_first_that_it_forbids() -> None:
    hosts = hosts_named(5, sessions=2)
    wave, left, refused = choose_wave(hosts, count_slots(POOL, hosts, 15), POOL, limit=5)

    assert names(wave) == ["avd-001", "avd-002", "avd-003"]
    assert (left.total, left.free) == (20, 10)
    assert refused is None or refused.name == "avd-004"


def test_a_wave_stops_at_its_limit() -> None:
    wave, _, refused = choose_wave(hosts_named(5), Slots(50, 50, 0), POOL, limit=2)

    assert names(wave) == ["avd-001", "avd-002"]
    assert refused is None


def test_a_crowded_unfit_host_at_the_head_does_not_hold_up_the_empty_ones_behind_it() -> None:
    hosts = [a_host("avd-001", sessions=10, drained=True), a_host("avd-002"), a_host("avd-003", sessions=9)]
    wave, _, refused = choose_wave(hosts, count_slots(POOL, hosts, 10), POOL, limit=3)

    assert names(wave) == ["avd-002"]
    assert refused == hosts[0]


@given(loads=st.lists(st.integers(0, 12), min_size=1, max_size=30), percent=st.integers(0, 100))
def test_however_a_wave_is_chosen_the_reserve_stays_free_when_its_people_are_elsewhere(
    loads: list[int], percent: int
) -> None:
    hosts = [a_host(f"avd-{n:03}", sessions=load) for n, load in enumerate(loads, 1)]
    wave, left, _ = choose_wave(hosts, count_slots(POOL, hosts, percent), POOL, limit=len(hosts))
    staying = [host for host in hosts if host not in wave]
    free = sum(free_slots_of(host, POOL) for host in staying) - sum(host.load for host in wave)

    assert left.free == free
    assert not wave or free >= left.reserve


@given(free=st.integers(-20, 200), hosts=st.integers(1, 20), load=st.integers(0, 10), percent=st.integers(1, 100))
def test_a_host_that_has_just_been_given_back_may_not_be_drained_again_at_once(
    free: int, hosts: int, load: int, percent: int
) -> None:
    """The two limits lie apart: giving back frees no more than draining would take again."""
    short = Slots(hosts * 10, min(free, hosts * 10), percent)
    if short.are_short and load:
        back = Slots(short.total + 10, short.free + 10 - load, percent)
        assert not may_drain(back, a_host(sessions=load), POOL)


def test_the_limit_for_giving_back_lies_below_the_limit_for_draining() -> None:
    assert 0 < GIVE_BACK_BELOW < 1
    assert not Slots(100, 15, 15).are_short
    assert not Slots(100, 9, 15).are_short
    assert Slots(100, 8, 15).are_short


# --------------------------------------------------------------------------------------------------------- giving back


def rush(world: World, people: int) -> None:
    """So many people sign in at once."""
    for number in range(people):
        free = [host for host in world.hosts.values() if accepts_sign_ins(host) and free_slots_of(host, world.pool)]
        world.sign_in(min(free, key=lambda host: (host.load, host.name)).name, f"early bird {number}")


def draining_world(**policy: object) -> World:
    """Six hosts of ten slots, two of them draining with people who take their time; 18 people, 28 free slots."""
    hosts = [
        a_draining_host("avd-001", sessions=3),
        a_draining_host("avd-002", sessions=5),
        *hosts_named(2, first=3, sessions=3),
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
    assert world.told("avd-002 is given back: free session slots are down to 3, the reserve is 6")


def test_nobody_is_told_that_they_may_stay_who_was_never_told_to_leave() -> None:
    pool = a_pool([a_draining_host("avd-001", sessions=3), *hosts_named(2, first=2, sessions=10)])
    world = World(pool, state=a_rolling_state(pool, {"avd-001": a_drain()}, desired=2))
    world.policy = a_policy(reserve=30)
    world.turn()

    assert world.hosts["avd-001"].allows_new_sessions
    assert not world.messages


def test_while_slots_stay_short_a_host_given_back_stays_in_service() -> None:
    world = draining_world()
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
    world = World(a_pool(hosts_named(4, sessions=10)), a_policy(canary={"bake": minutes(5)})).run(
        Phase.WAITING_CAPACITY
    )

    assert world.state.reason == "ReserveTooSmall"
    assert world.state.message.startswith("draining avd-001 with its 10 sessions would leave")
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
