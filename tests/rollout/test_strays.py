"""Strays: hosts that a run which has ended left drained or unfinished, and registrations without a VM."""

from __future__ import annotations

import pytest

from rollout.model import QUARANTINE_TAG, Phase
from rollout.policy import minutes
from rollout.steps import ProvisionHost, RemoveHost, StepError, StopDraining
from tests.rollout.builders import NEXT, ROLLOUT, a_host, a_policy, a_pool, hosts_named
from tests.rollout.world import World

STRATEGIES = pytest.mark.parametrize("strategy", ["surge", "in_place"])
OLD = "rollout-1.5.0"


def test_a_host_that_an_ended_run_left_drained_is_given_back_first() -> None:
    stray = a_host("avd-001", sessions=2, drained=True, held_by=OLD)
    world = World(a_pool([stray, *hosts_named(3, first=2)]))
    world.turn()

    assert [step.host for step in world.steps(StopDraining)] == ["avd-001"]
    assert world.run().versions() == {NEXT: 4}
    assert all(host.allows_new_sessions for host in world.hosts.values())


@STRATEGIES
def test_a_host_left_drained_is_not_drained_again_in_the_same_turn(strategy: str) -> None:
    """The check of every turn, at most one changing step for each host, is what bites here."""
    world = World(a_pool([a_host("avd-001", drained=True, held_by=ROLLOUT), *hosts_named(3, first=2)]))
    world.policy = a_policy(strategy=strategy)

    assert world.run().state.phase is Phase.SUCCEEDED


def test_a_current_host_left_drained_counts_as_current_and_none_is_made_in_its_place() -> None:
    stray = a_host("avd-004", NEXT, drained=True, held_by=OLD)
    world = World(a_pool([*hosts_named(3, version=NEXT), stray])).run()

    assert world.state.phase is Phase.SUCCEEDED
    assert not world.steps(ProvisionHost)
    assert world.hosts["avd-004"].allows_new_sessions
    assert world.nothing_is_left_over()


@pytest.mark.parametrize("owner", [ROLLOUT, OLD])
def test_a_vm_that_never_registered_and_that_nobody_holds_is_taken_away(owner: str) -> None:
    unfinished = a_host("avd-004", NEXT, registration="", held_by=owner, status="")
    world = World(a_pool([*hosts_named(3), unfinished])).run()

    assert "avd-004" in {step.host for step in world.steps(RemoveHost)}
    assert sorted(world.hosts) == ["avd-005", "avd-006", "avd-007"]


def test_while_a_stray_exists_it_counts_against_the_surge() -> None:
    """The limit on VMs is checked in every turn."""
    unfinished = a_host("avd-004", NEXT, registration="", held_by=ROLLOUT, status="")
    world = World(a_pool([*hosts_named(3), unfinished]))
    world.turn()

    assert not world.steps(ProvisionHost)


def test_a_stray_that_cannot_be_given_back_is_tried_again_later_each_time() -> None:
    world = World(a_pool([a_host("avd-001", drained=True, held_by=OLD), *hosts_named(2, first=2, version=NEXT)]))
    world.refuse(StopDraining, StepError("ScopeLocked", "the VM is locked"))
    tries = [world.now for _ in range(200) if "avd-001" in {step.host for step in world.turn().steps}]

    assert tries[-1] - tries[-2] >= minutes(10)
    assert world.times_told("avd-001") < 10


def test_a_quarantined_host_of_an_earlier_rollout_is_out_of_scope() -> None:
    kept = a_host("avd-004", "1.5.0", drained=True, tags={QUARANTINE_TAG: "NotReadyInTime"})
    world = World(a_pool([*hosts_named(3), kept])).run()

    assert world.hosts["avd-004"] == kept
    assert world.versions() == {NEXT: 3}


def test_a_registration_without_a_vm_is_left_alone_and_reported() -> None:
    world = World(a_pool([*hosts_named(3), a_host("avd-004", vm_id="", power="", provisioning="", status="Shutdown")]))
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert "avd-004 (HostGone)" in world.state.message
    assert "avd-004" in world.hosts
    assert not [step for _, step in world.done_steps if step.host == "avd-004"]


def test_a_vm_that_is_seen_again_after_its_registration_stood_alone_is_rolled_like_any_other() -> None:
    world = World(a_pool([*hosts_named(3), a_host("avd-004", vm_id="", power="", provisioning="")]))
    world.turn()
    world.put(a_host("avd-004"))
    world.run()

    assert world.state.phase is Phase.SUCCEEDED
    assert world.versions() == {NEXT: 4}
