"""A halt: nothing new starts, what is drained is given back, what is unproven is set aside, and the reason is kept."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.model import QUARANTINE_TAG, Phase
from rollout.policy import hours, minutes
from rollout.pool import supersede
from rollout.steps import (
    NotifySessions,
    ProvisionHost,
    QuarantineHost,
    RemoveHost,
    StartDraining,
    StepError,
    StopDraining,
)
from tests.rollout.builders import NEXT, a_host, a_policy, a_pool, a_window, hosts_named, version_id
from tests.rollout.world import NEVER_REGISTERS, World

STRATEGIES = pytest.mark.parametrize("strategy", ["surge", "in_place"])


def busy(strategy: str = "surge", hosts: int = 6, **policy: Any) -> World:
    """A rollout in its waves: people have been told to leave and take their time."""
    world = World(a_pool(hosts_named(hosts, sessions=2)), a_policy(strategy=strategy, surge=2, max_wave=2, **policy))
    world.leave_after = None
    return world.run(lambda world: world.state.canary_passed and world.messages and world.draining())


def delete_the_version(world: World) -> None:
    world.image = None


@STRATEGIES
def test_a_version_that_somebody_deletes_halts_the_rollout_and_gives_back_what_is_drained(strategy: str) -> None:
    world = busy(strategy)
    drained, forced = world.draining(), world.forced.total()
    delete_the_version(world)
    world.run()

    assert (world.state.phase, world.state.reason) == (Phase.HALTED, "ImageVersionGone")
    assert world.state.message.startswith("image version 2.0.0 no longer exists")
    assert drained
    assert all(world.hosts[name].allows_new_sessions for name in drained)
    assert world.nothing_is_left_over()
    assert world.forced.total() == forced


def test_a_halt_tells_people_who_were_asked_to_leave_that_they_may_stay() -> None:
    world = busy()
    told = {session for _, notice in world.messages for session in notice.sessions}
    world.messages.clear()
    delete_the_version(world)
    world.run()

    stay = [notice for _, notice in world.messages if notice.title == world.policy.drain.notice.withdrawn_title]
    assert {session for notice in stay for session in notice.sessions} == told


@STRATEGIES
def test_nothing_new_starts_after_a_halt(strategy: str) -> None:
    world = busy(strategy)
    delete_the_version(world)
    halted = world.now
    world.run()

    late = [step for at, step in world.done_steps if at >= halted]
    assert not [step for step in late if isinstance(step, ProvisionHost | StartDraining)]


def test_a_new_host_on_its_way_at_a_halt_is_set_aside_for_investigation() -> None:
    world = World(a_pool(hosts_named(4)), a_policy(surge=2)).run(lambda world: world.state.canary_passed)
    world.run(lambda world: "avd-006" in world.hosts)
    delete_the_version(world)
    world.run()

    assert world.state.quarantined["avd-006"] == "RolloutHalted"
    assert world.hosts["avd-006"].tags == {QUARANTINE_TAG: "RolloutHalted"}
    assert world.nothing_is_left_over()


def test_a_new_host_that_azure_never_shows_is_not_waited_for_for_ever() -> None:
    world = World(a_pool(hosts_named(4)))
    world.refuse(ProvisionHost, StepError("ConnectionLost", "no answer"))
    world.turn()
    delete_the_version(world)
    world.run()

    assert world.state.phase is Phase.HALTED
    assert not world.state.in_hand


def test_a_host_that_is_being_removed_at_a_halt_is_removed() -> None:
    world = World(a_pool(hosts_named(4))).run(lambda world: world.steps(RemoveHost))
    (name,) = {step.host for step in world.steps(RemoveHost)}
    delete_the_version(world)
    world.run()

    assert name not in world.hosts
    assert world.nothing_is_left_over()


def test_a_halt_that_leaves_the_pool_short_says_so() -> None:
    world = World(a_pool(hosts_named(4)), a_policy(strategy="in_place")).run(lambda world: world.state.canary_passed)
    world.refuse(ProvisionHost, StepError("OperationNotAllowed", "the quota is used up"))
    world.run(lambda world: world.state.blocked)
    delete_the_version(world)
    world.run()

    assert world.state.message == "image version 2.0.0 no longer exists; the pool is 1 host short of its size"


def test_a_halt_that_leaves_the_pool_larger_says_so() -> None:
    world = World(a_pool(hosts_named(4))).run(Phase.BAKING)
    delete_the_version(world)
    world.run()

    assert world.state.message == "image version 2.0.0 no longer exists; the pool is 1 host more than its size"


def test_the_first_verdict_is_the_one_that_is_kept() -> None:
    world = busy()
    delete_the_version(world)
    world.turn()
    for name in list(world.hosts):
        world.change(name, status="Unavailable")
    world.run()

    assert world.state.reason == "ImageVersionGone"


def test_a_newer_version_does_not_wake_a_halted_rollout() -> None:
    world = busy()
    delete_the_version(world)
    world.turn()
    world.state = supersede(world.state, version_id("3.0.0"))

    assert world.run().state.phase is Phase.HALTED


def test_giving_back_that_fails_is_tried_until_it_succeeds() -> None:
    world = busy()
    world.refuse(StopDraining, StepError("500", "internal error"), times=6)
    delete_the_version(world)
    world.run()

    assert world.nothing_is_left_over()


def test_a_quarantine_mark_that_fails_is_tried_until_it_succeeds() -> None:
    world = World(a_pool(hosts_named(4)))
    world.fate = NEVER_REGISTERS
    world.refuse(QuarantineHost, StepError("500", "internal error"), times=6)
    world.run()

    assert world.hosts["avd-005"].tags == {QUARANTINE_TAG: "NotReadyInTime"}


def test_a_quarantine_mark_that_azure_never_lets_us_set_does_not_keep_the_rollout_from_ending() -> None:
    world = World(a_pool(hosts_named(4)))
    world.fates["avd-006"] = NEVER_REGISTERS
    world.refuse(QuarantineHost, StepError("ScopeLocked", "the VM is locked", retriable=False))
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert "avd-006 (NotReadyInTime)" in world.state.message


def test_a_host_that_cannot_be_given_back_is_named_with_the_reason() -> None:
    world = busy(drain={"on_timeout": "skip"})
    (name, *_) = world.draining()
    world.refuse(StopDraining, StepError("ScopeLocked", "the VM is locked"), host=name)
    world.run_for(hours(6))

    assert f"{name} is GivingBack" in world.state.message
    assert world.state.message.endswith("failed: ScopeLocked: the VM is locked")
    assert world.times_told(f"{name} cannot be given back: ScopeLocked: the VM is locked") == 1


@STRATEGIES
def test_a_host_that_somebody_removes_while_it_is_given_back_holds_nothing_up(strategy: str) -> None:
    world = busy(strategy)
    (name, *_) = world.draining()
    world.refuse(StopDraining, StepError("500", "internal error"), host=name)
    delete_the_version(world)
    world.turn()
    world.remove(name)

    assert world.run().state.phase is Phase.HALTED


def test_a_halt_while_there_is_no_room_ends() -> None:
    world = World(a_pool(hosts_named(4)))
    world.refuse(ProvisionHost, StepError("OperationNotAllowed", "exceeding approved quota"))
    world.run(Phase.WAITING_CAPACITY)
    delete_the_version(world)

    assert world.run().state.phase is Phase.HALTED


def test_a_halt_outside_the_window_gives_back_at_once() -> None:
    world = busy(windows=(a_window("08:00", hours(3)),), drain={"on_timeout": "wait"})
    world.run(lambda world: world.now.hour >= 12)
    assert world.draining()
    delete_the_version(world)
    halted = world.now
    world.run()

    assert world.now - halted < minutes(10)
    assert world.nothing_is_left_over()


def test_people_on_hosts_given_back_get_no_further_reminders() -> None:
    world = busy()
    delete_the_version(world)
    world.run()

    after = [step for _, step in world.done_steps if isinstance(step, NotifySessions)][-1]
    assert after.title == world.policy.drain.notice.withdrawn_title


def test_hosts_of_others_are_as_they_were_after_a_halt() -> None:
    hosts = [*hosts_named(4, sessions=2), a_host("avd-005", drained=True), a_host("avd-006", powered_off=True)]
    world = World(a_pool(hosts), a_policy(surge=2)).run(lambda world: world.state.canary_passed)
    delete_the_version(world)
    world.run()

    drained = [host for host in world.hosts.values() if not host.allows_new_sessions and not host.tags]
    off = [host for host in world.hosts.values() if host.power == "deallocated"]
    assert (len(drained), len(off)) == (1, 1)
    assert NEXT in world.versions()
