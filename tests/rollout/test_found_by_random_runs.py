"""What went wrong in random runs (`dev.py simulate`), each as the smallest situation that shows it."""

from __future__ import annotations

import pytest

from rollout.commands import Command
from rollout.model import ROLLOUT_TAG, Phase, Stage
from rollout.policy import hours, minutes
from rollout.pool import decide, supersede
from rollout.steps import ProvisionHost, StepError, StopDraining
from tests.rollout.builders import (
    MORNING,
    NEXT,
    ROLLOUT,
    a_drain,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    a_window,
)
from tests.rollout.world import World


def test_a_pool_with_fewer_outdated_hosts_than_canaries_wanted_bakes_once_and_ends() -> None:
    world = World(a_pool(outdated=1, current=4), a_policy(canary={"hosts": 3}))
    world.run(turns=200)
    assert world.state.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
def test_where_every_host_is_switched_off_the_canary_is_switched_off_again_when_it_is_proven(strategy: str) -> None:
    hosts = [a_host(f"avd-00{number}", powered_off=True) for number in (1, 2, 3)]
    world = World(a_pool(hosts), a_policy(strategy=strategy)).run()
    assert world.state.phase is Phase.SUCCEEDED
    assert [host.power for host in world.hosts.values()] == ["deallocated"] * 3


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
def test_where_somebody_has_drained_every_host_the_canary_ends_drained_too(strategy: str) -> None:
    hosts = [a_host(f"avd-00{number}", drained=True) for number in (1, 2, 3)]
    world = World(a_pool(hosts), a_policy(strategy=strategy)).run()
    assert world.state.phase is Phase.SUCCEEDED
    assert [host.allows_new_sessions for host in world.hosts.values()] == [False] * 3


def test_in_place_the_canary_takes_the_place_of_a_host_that_people_can_use() -> None:
    hosts = [a_host("avd-001", powered_off=True), a_host("avd-002", drained=True), a_host("avd-003")]
    world = World(a_pool(hosts), a_policy(strategy="in_place")).run(Phase.BAKING)
    assert sorted(world.hosts) == ["avd-001", "avd-002", "avd-004"]
    world.run()
    assert sorted((host.power, host.allows_new_sessions) for host in world.hosts.values()) == [
        ("deallocated", True),
        ("running", False),
        ("running", True),
    ]


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
@pytest.mark.parametrize("reserve", [15, 60, 90])
def test_a_host_with_nobody_on_it_can_be_replaced_however_large_the_reserve(strategy: str, reserve: int) -> None:
    world = World(a_pool(outdated=1), a_policy(strategy=strategy, reserve=reserve)).run()
    assert world.state.phase is Phase.SUCCEEDED


def test_hosts_that_somebody_has_drained_do_not_count_for_the_reserve() -> None:
    hosts = [a_host("avd-001"), a_host("avd-002", drained=True), a_host("avd-003", drained=True)]
    world = World(a_pool(hosts), a_policy(reserve=40)).run()
    assert world.state.phase is Phase.SUCCEEDED


def test_a_draining_host_is_given_back_when_it_is_the_last_that_could_accept_anybody() -> None:
    hosts = [a_draining_host("avd-001", sessions=1), a_host("avd-002", drained=True)]
    pool = a_pool(hosts)
    world = World(pool, a_policy(strategy="in_place"), a_rolling_state(pool, {"avd-001": a_drain()}))
    world.turn()
    assert world.hosts["avd-001"].allows_new_sessions


def test_a_canary_that_somebody_drains_while_it_bakes_does_not_pass_early() -> None:
    world = World(a_pool(outdated=3)).run(Phase.BAKING)
    world.change("avd-004", allows_new_sessions=False)
    world.turn()
    assert world.state.phase is Phase.BAKING
    assert not world.state.canary_passed


@pytest.mark.parametrize("reserve", [0, 15])
def test_sessions_left_behind_on_the_last_host_do_not_keep_it_for_ever_in_place(reserve: int) -> None:
    policy = a_policy(strategy="in_place", reserve=reserve)
    world = World(a_pool([a_host("avd-001", disconnected=2)]), policy).run()
    assert world.state.phase is Phase.SUCCEEDED


def test_people_at_work_on_the_last_host_keep_it_in_place() -> None:
    world = World(a_pool([a_host("avd-001", sessions=1)]), a_policy(strategy="in_place")).run(Phase.WAITING_CAPACITY)
    assert world.hosts["avd-001"].allows_new_sessions


def test_hosts_that_are_all_switched_off_by_the_time_the_canary_has_passed_are_replaced_in_turn() -> None:
    world = World(a_pool(outdated=3)).run(Phase.BAKING)
    for name in ("avd-001", "avd-002", "avd-003"):
        world.change(name, power="deallocated", status="Shutdown")
    world.run()
    assert world.state.phase is Phase.SUCCEEDED
    assert sorted(host.power for host in world.hosts.values()) == ["deallocated", "deallocated", "running"]


def test_a_superseded_rollout_leaves_the_pool_as_large_as_it_was() -> None:
    world = World(a_pool(outdated=4)).run(Phase.BAKING)
    world.state = supersede(world.state, "a newer version")
    world.run()
    assert world.state.phase is Phase.SUPERSEDED
    assert len(world.hosts) == 4


def test_a_superseded_rollout_gives_back_all_draining_hosts_but_the_one_that_is_too_many() -> None:
    pool = a_pool(
        [a_draining_host("avd-001", sessions=2), a_draining_host("avd-002", sessions=1), a_host("avd-003", NEXT)]
    )
    drains = {"avd-001": a_drain(), "avd-002": a_drain()}
    world = World(pool, state=supersede(a_rolling_state(pool, drains, desired=2), "a newer version"))
    world.turn()
    assert [name for name, host in world.hosts.items() if host.allows_new_sessions] == ["avd-001", "avd-003"]
    world.run()
    assert sorted(world.hosts) == ["avd-001", "avd-003"]


def test_a_superseded_rollout_in_place_provides_the_host_that_it_owes_the_pool_once_there_is_room() -> None:
    world = World(a_pool(outdated=3), a_policy(strategy="in_place"))
    world.refuse(ProvisionHost, StepError("OperationNotAllowed", "no quota"), times=2)
    world.run(Phase.WAITING_CAPACITY)
    world.state = supersede(world.state, "a newer version")
    world.run()
    assert world.state.phase is Phase.SUPERSEDED
    assert len(world.hosts) == 3


def test_a_host_skipped_after_its_replacement_was_made_does_not_make_the_pool_larger() -> None:
    hosts = [a_host("avd-001"), a_host("avd-002", sessions=1)]
    world = World(a_pool(hosts), a_policy(drain={"on_timeout": "skip"}))
    world.deaf.add("avd-002-person-1")
    world.run()
    assert world.state.skipped == {"avd-002": "GracePeriodEnded"}
    assert len(world.hosts) == 2


def test_a_halted_rollout_says_by_how_many_hosts_it_leaves_the_pool_larger() -> None:
    world = World(a_pool(outdated=4)).run(Phase.BAKING)
    world.image = None
    world.run()
    assert world.state.phase is Phase.HALTED
    assert world.state.message.endswith("; the pool is 1 host more than its size")


def test_a_superseded_rollout_gives_up_a_host_that_somebody_drained_if_there_is_no_other() -> None:
    world = World(a_pool(outdated=2), a_policy(surge=2)).run(Phase.BAKING)
    for name in ("avd-001", "avd-002"):
        world.change(name, allows_new_sessions=False)
    world.state = supersede(world.state, "a newer version")
    world.run()
    assert len(world.hosts) == 2


def test_a_host_left_in_drain_mode_like_its_forerunner_is_not_put_into_service_because_its_tag_is_listed_late() -> None:
    world = World(a_pool([a_host("avd-001"), a_host("avd-002", drained=True)]))
    world.run(lambda world: any("left in drain mode like avd-002" in sentence for _, sentence in world.story))
    new = next(
        name for name in world.hosts if name not in ("avd-001", "avd-002") and not world.hosts[name].allows_new_sessions
    )
    world.change(new, tags={ROLLOUT_TAG: ROLLOUT})
    world.turn()
    world.change(new, tags={})
    world.run()
    assert not world.hosts[new].allows_new_sessions


def test_a_superseded_rollout_takes_away_the_host_whose_state_a_new_one_has_taken_over() -> None:
    hosts = [a_host("avd-001", powered_off=True), a_host("avd-002", powered_off=True)]
    world = World(a_pool(hosts)).run(lambda world: world.state.due)
    world.put(a_host("avd-009"))
    world.state = supersede(world.state, "a newer version")
    world.run()
    assert sorted(host.power for host in world.hosts.values()) == ["deallocated", "deallocated", "running"]


def test_two_canaries_do_not_both_follow_the_one_host_that_is_switched_off() -> None:
    hosts = [a_host("avd-001", drained=True, held_by="an-ended-rollout"), a_host("avd-002", powered_off=True)]
    world = World(a_pool(hosts), a_policy(canary={"hosts": 2})).run()
    assert sorted(host.power for host in world.hosts.values()) == ["deallocated", "running"]


def test_a_host_that_somebody_is_deleting_counts_as_gone() -> None:
    world = World(a_pool([a_host("avd-001", provisioning="Deleting"), a_host("avd-002"), a_host("avd-003")]))
    world.turn()
    assert world.state.desired == 2


def test_a_host_that_is_good_before_it_could_be_drained_ends_in_drain_mode_all_the_same() -> None:
    hosts = [a_host("avd-001"), a_host("avd-002", drained=True)]
    world = World(a_pool(hosts), a_policy(health={"settle": minutes(0)})).run()
    assert sorted(host.allows_new_sessions for host in world.hosts.values()) == [False, True]


def test_the_last_host_stays_for_the_people_who_must_leave_another_in_place() -> None:
    hosts = [a_host("avd-001", sessions=1), a_host("avd-002", disconnected=1)]
    world = World(a_pool(hosts), a_policy(strategy="in_place", max_unavailable=2, max_wave=2))
    world.turn()
    assert [host.allows_new_sessions for host in world.hosts.values()].count(True) == 1


def test_a_host_that_is_switched_off_is_there_until_its_replacement_is() -> None:
    hosts = [a_host("avd-001"), a_host("avd-002", powered_off=True)]
    world = World(a_pool(hosts), a_policy(surge=2)).run(lambda world: "avd-002" not in world.hosts)
    assert [host.power for host in world.hosts.values()].count("deallocated") == 1


def test_each_host_that_is_switched_off_or_drained_is_followed_by_exactly_one() -> None:
    hosts = [
        a_host("avd-001", status="Unavailable"),
        a_host("avd-002", drained=True),
        a_host("avd-003", powered_off=True),
        a_host("avd-004", powered_off=True),
    ]
    world = World(a_pool(hosts), a_policy(canary={"hosts": 3})).run()
    assert sorted((host.power, host.allows_new_sessions) for host in world.hosts.values()) == [
        ("deallocated", True),
        ("deallocated", True),
        ("running", False),
        ("running", True),
    ]


def test_a_current_host_that_is_being_given_back_counts_for_its_zone() -> None:
    hosts = [
        a_host("avd-001", NEXT, zone="1", drained=True, held_by="an-ended-rollout"),
        a_host("avd-002", zone="1"),
        a_host("avd-003", zone="2"),
    ]
    world = World(a_pool(hosts), a_policy(canary={"hosts": 2})).run()
    assert sorted(host.zone for host in world.hosts.values()) == ["1", "1", "2"]


def test_canaries_follow_different_hosts_while_a_current_host_is_being_given_back() -> None:
    hosts = [
        a_host("avd-001", NEXT, drained=True, held_by="an-ended-rollout"),
        a_host("avd-002", NEXT, drained=True, held_by="an-ended-rollout"),
        a_host("avd-003"),
        a_host("avd-004"),
        a_host("avd-005", powered_off=True),
    ]
    world = World(a_pool(hosts), a_policy(canary={"hosts": 3})).run()
    assert [host.power for host in world.hosts.values()].count("deallocated") == 1


def test_a_canary_lost_while_it_was_given_back_makes_the_pool_no_larger() -> None:
    world = World(a_pool(outdated=3)).run(Phase.BAKING)
    world.change("avd-004", tags={ROLLOUT_TAG: "an-ended-rollout"})
    world.refuse(StopDraining, StepError("TooManyRequests", "later"), times=1)
    world.turn()
    world.remove("avd-004")
    world.run()
    assert world.state.phase is Phase.SUCCEEDED
    assert len(world.hosts) == 3


def test_a_host_made_when_all_that_are_left_have_their_successors_is_an_ordinary_one() -> None:
    pool = a_pool([a_host("avd-001", drained=True), a_host("avd-002", NEXT, drained=True)])
    world = World(pool, a_policy(surge=2), a_rolling_state(pool, desired=2, due=("avd-001",)))
    world.turn()
    assert [progress.stays_drained for progress in world.state.in_hand.values() if progress.replaces] == [False]


def test_a_new_host_that_somebody_deletes_while_it_is_switched_off_is_replaced() -> None:
    world = World(a_pool([a_host("avd-001"), a_host("avd-002", powered_off=True)]))
    world.run(lambda world: any(host.reason == "SwitchingOff" for host in world.state.in_hand.values()))
    new = next(name for name, host in world.state.in_hand.items() if host.reason == "SwitchingOff")
    world.change(new, provisioning="Deleting", power="stopping", registration="")
    world.turn()
    world.remove(new)
    world.run()
    assert sorted(host.power for host in world.hosts.values()) == ["deallocated", "running"]


def test_a_host_just_given_back_is_not_taken_for_one_that_somebody_drained() -> None:
    """A late list shows it in drain mode still, and its tag is gone: its successor would stay drained for good."""
    late = a_host("avd-001", drained=True)
    pool = a_pool([late, a_host("avd-002", NEXT)])
    just_now = {"avd-001": MORNING - minutes(2)}
    world = World(pool, a_policy(), a_rolling_state(pool, desired=2, given_back=just_now))
    world.turn()
    assert [progress.stays_drained for progress in world.state.in_hand.values() if progress.replaces] == [False]

    long_ago = {"avd-001": MORNING - hours(1)}
    world = World(pool, a_policy(), a_rolling_state(pool, desired=2, given_back=long_ago))
    world.turn()
    assert [progress.stays_drained for progress in world.state.in_hand.values() if progress.replaces] == [True]


def test_a_host_given_back_before_its_tag_is_listed_is_given_back_all_the_same() -> None:
    """It has been drained and tagged a minute ago, and a late list shows its drain mode only."""
    late = a_host("avd-001", drained=True, sessions=5)
    pool = a_pool([late, a_host("avd-002", sessions=10)])
    drain = a_drain(retry_at=MORNING + minutes(1))
    state = a_rolling_state(pool, {"avd-001": drain})
    decision = decide(state, pool, a_policy(strategy="in_place"), MORNING)
    assert [step.host for step in decision.steps if isinstance(step, StopDraining)] == ["avd-001"]
    assert decision.state.in_hand["avd-001"].stage is Stage.GIVING_BACK


def test_a_paused_pool_that_is_short_of_a_host_gets_one_in_the_next_window() -> None:
    policy = a_policy(windows=(a_window("20:00", hours(6)),))
    pool = a_pool([a_host("avd-001", NEXT)])
    state = a_rolling_state(pool, desired=2, command=Command("pause", "raj"))
    world = World(pool, policy, state)
    world.run(lambda world: len(world.hosts) == 2)
    made_at = next(at for at, step in world.done_steps if isinstance(step, ProvisionHost))
    assert made_at >= MORNING + hours(12)
