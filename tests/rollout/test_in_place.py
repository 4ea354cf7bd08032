"""In place: hosts are removed before their replacement is made, so that no more cores are needed than before."""

from __future__ import annotations

from msgspec import structs

from rollout.model import Phase
from rollout.policy import minutes
from rollout.steps import ProvisionHost, RemoveHost, StepError
from tests.rollout.builders import NEXT, SHAPE, a_host, a_policy, a_pool, a_window, hosts_named
from tests.rollout.world import NEVER_REGISTERS, World


def in_place(hosts: int = 6, **policy: object) -> World:
    return World(a_pool(hosts_named(hosts)), a_policy(strategy="in_place", **policy))


def test_there_are_never_more_vms_than_before() -> None:
    world = in_place(max_unavailable=2)
    while not world.turn().done:
        assert len(world.hosts) <= 6


def test_no_more_hosts_are_away_than_may_be_unavailable() -> None:
    world = in_place(max_unavailable=2)
    while not world.turn().done:
        assert sum(bool(host.registration) for host in world.hosts.values()) >= 4


def test_each_replacement_takes_over_shape_and_zone_of_the_host_that_went() -> None:
    hosts = [a_host(f"avd-00{n}", zone=str(n), shape=structs.replace(SHAPE, vm_size=f"size-{n}")) for n in (1, 2, 3)]
    world = World(a_pool(hosts), a_policy(strategy="in_place")).run()

    assert {(host.zone, host.shape.vm_size) for host in world.hosts.values()} == {
        ("1", "size-1"),
        ("2", "size-2"),
        ("3", "size-3"),
    }


def test_a_failed_replacement_is_made_again_and_the_pool_regains_its_size() -> None:
    world = in_place(4)
    world.fates["avd-006"] = NEVER_REGISTERS
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert world.versions() == {NEXT: 4}


def test_no_other_host_goes_while_one_cannot_be_replaced() -> None:
    world = in_place(4).run(lambda world: world.state.canary_passed)
    world.refuse(ProvisionHost, StepError("OperationNotAllowed", "the quota is used up"))
    world.run_for(minutes(300))

    assert world.versions().total() == 3
    assert len(world.steps(RemoveHost)) == 2


def test_a_host_that_was_removed_in_the_window_is_replaced_after_it_has_closed() -> None:
    """The host's people left late; the window closed before the replacement could be started."""
    policy = a_policy(strategy="in_place", windows=(a_window("08:00", minutes(120)),), drain={"on_timeout": "wait"})
    world = World(a_pool(hosts_named(3, sessions=1)), policy)
    world.leave_after = minutes(150)
    world.run(lambda world: world.steps(RemoveHost))
    assert world.now.hour >= 10
    removed = world.now
    world.run(lambda world: len(world.hosts) == 3 and not world.state.in_hand)

    assert world.now - removed < minutes(60)


def test_a_canary_owed_when_the_window_closes_is_made_all_the_same_and_bakes() -> None:
    policy = a_policy(strategy="in_place", windows=(a_window("08:00", minutes(120)),), drain={"on_timeout": "wait"})
    world = World(a_pool(hosts_named(3, sessions=1)), policy)
    world.leave_after = minutes(150)
    world.run(lambda world: world.state.canary_passed)

    assert world.state.canary == ("avd-004",)
    assert world.now.day == 20
