"""The canary: the first hosts on the new version, whose proof everything else waits for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from rollout.model import QUARANTINE_TAG, Phase, Stage
from rollout.policy import hours, minutes
from rollout.steps import ProvisionHost, RemoveHost, StartDraining, StepError
from tests.rollout.builders import NEXT, a_host, a_policy, a_pool, a_state, a_window, hosts_named, version_id
from tests.rollout.world import BROKEN, NEVER_REGISTERS, NO_AGENT, UNHEALTHY, World

STRATEGIES = pytest.mark.parametrize("strategy", ["surge", "in_place"])


def drained_outdated_hosts(world: World) -> set[str]:
    """Hosts of the old version that have been drained."""
    return {step.host for step in world.steps(StartDraining) if step.host <= "avd-012"}


def test_nothing_else_is_touched_before_the_canary_has_baked() -> None:
    world = World(a_pool(hosts_named(12, sessions=2))).run(lambda world: world.state.canary_passed)
    baked = world.now

    assert [step.host for step in world.steps(ProvisionHost)] == ["avd-013"]
    assert len(drained_outdated_hosts(world)) == 10, "people are steered away in the turn in which the canary passes"
    in_service = next(at for at, sentence in world.story if "avd-013 is good and in service" in sentence)
    assert baked - in_service >= minutes(30)


def test_in_place_only_the_host_that_makes_room_for_the_canary_is_touched() -> None:
    world = World(a_pool(hosts_named(12, sessions=2)), a_policy(strategy="in_place", max_unavailable=4))
    world.run(Phase.BAKING)

    assert len(drained_outdated_hosts(world)) == 1
    assert [step.host for step in world.steps(ProvisionHost)] == ["avd-013"]


@STRATEGIES
def test_as_many_canaries_as_asked_for_are_proven_together(strategy: str) -> None:
    policy = a_policy(strategy=strategy, max_unavailable=2, canary={"hosts": 2})
    world = World(a_pool(hosts_named(12)), policy).run(Phase.BAKING)

    assert world.state.canary == ("avd-013", "avd-014")
    assert world.versions()[NEXT] == 2
    assert world.run().state.phase is Phase.SUCCEEDED


def test_a_canary_that_wobbles_bakes_anew() -> None:
    world = World().run(Phase.BAKING).run_for(minutes(20))
    first = world.state.bake_until
    assert first is not None

    world.change("avd-013", status="Unavailable")
    world.turn()
    world.change("avd-013", status="Available")
    world.run(lambda world: world.state.canary_passed)

    assert world.now >= first + minutes(20)
    assert not drained_outdated_hosts(world) or world.state.canary_passed


def test_a_canary_that_was_not_well_bakes_from_when_it_is_seen_well_again() -> None:
    world = World().run(Phase.BAKING)
    world.change("avd-013", status="Unavailable")
    world.turn()
    world.now += minutes(10)
    world.change("avd-013", status="Available")
    well = world.now
    world.turn()

    assert world.state.bake_until == well + minutes(30)
    assert world.run(lambda world: world.state.canary_passed).now >= well + minutes(30)


@pytest.mark.parametrize(("unseen", "passes"), [(minutes(15), True), (minutes(16), False), (hours(3), False)])
def test_a_canary_that_nobody_has_looked_at_for_long_bakes_anew(unseen: timedelta, passes: bool) -> None:
    """The app stood still: what became of the canary meanwhile nobody knows."""
    world = World().run(Phase.BAKING)
    until = world.state.bake_until
    assert until is not None
    world.run_for(until - world.now - minutes(14))
    seen = world.state.seen_at
    assert seen is not None

    world.now = seen + unseen
    world.turn()

    assert world.state.bake_until == (until if passes else seen + unseen + minutes(30))
    assert world.told(f"nobody has looked at the canary avd-013 for {unseen // minutes(1)} minutes") is not passes
    world.run(lambda world: world.state.canary_passed)


SWITCHED_OFF = hosts_named(3, powered_off=True)
"""Hosts whose successors bake before anybody works on them, and are then switched off as well."""


def a_canary_that_will_be_switched_off(**policy: Any) -> tuple[World, datetime]:
    """Good since just now, and the moment at which it has been good for long enough."""
    world = World(a_pool(SWITCHED_OFF), a_policy(**policy)).run(
        lambda world: any(progress.good_since for progress in world.state.in_hand.values())
    )
    (canary,) = world.state.canary
    good_since = world.state.in_hand[canary].good_since
    assert good_since is not None
    return world, good_since + minutes(30)


@pytest.mark.parametrize(("unseen", "passes"), [(minutes(15), True), (minutes(16), False), (hours(3), False)])
def test_a_canary_out_of_service_that_nobody_has_looked_at_for_long_is_proven_anew(
    unseen: timedelta, passes: bool
) -> None:
    world, until = a_canary_that_will_be_switched_off()
    (canary,) = world.state.canary
    world.run_for(until - world.now - minutes(2))
    seen = world.state.seen_at
    assert seen is not None

    world.now = seen + unseen
    world.turn()

    assert world.told(f"nobody has looked at the canary {canary} for {unseen // minutes(1)} minutes") is not passes
    world.run(lambda world: world.told("is good; switched off like"))
    assert (world.now - (seen + unseen) >= minutes(30)) is not passes
    assert world.run().state.phase is Phase.SUCCEEDED


def test_a_canary_that_has_fallen_ill_while_nobody_looked_has_no_more_time_than_any_other() -> None:
    world, _ = a_canary_that_will_be_switched_off()
    (canary,) = world.state.canary
    world.change(canary, status="Unavailable")
    world.now += hours(3)

    world.run(Phase.HALTED)

    assert world.state.quarantined == {canary: "NotReadyInTime"}


@pytest.mark.parametrize("stage", [Stage.PROVISIONING, Stage.JOINING])
def test_a_canary_is_not_blamed_for_hours_in_which_nobody_looked(stage: Stage) -> None:
    """Most of its way is Goldroll's own to go: nothing joins a host while the app stands still."""
    world = World().run(lambda world: any(progress.stage is stage for progress in world.state.in_hand.values()))
    world.now += hours(3)

    assert world.run().state.phase is Phase.SUCCEEDED


def test_a_canary_that_has_failed_has_no_more_than_the_hours_in_which_nobody_looked() -> None:
    world = World()
    world.fates["avd-013"] = NEVER_REGISTERS
    world.run(lambda world: any(progress.stage is Stage.JOINING for progress in world.state.in_hand.values()))
    began = world.now
    world.now += hours(3)

    world.run(Phase.HALTED)

    assert world.state.quarantined == {"avd-013": "NotReadyInTime"}
    assert hours(3) < world.now - began <= hours(3) + a_policy().health.ready_within + minutes(5)


def test_a_canary_that_stays_unhealthy_while_it_bakes_halts_the_rollout() -> None:
    world = World().run(Phase.BAKING)
    world.change("avd-013", status="Unavailable")
    world.run()

    assert (world.state.phase, world.state.reason) == (Phase.HALTED, "TooManyUnhealthyCurrentHosts")
    assert not drained_outdated_hosts(world)


@pytest.mark.parametrize(
    ("fate", "code"),
    [
        (NEVER_REGISTERS, "NotReadyInTime"),
        (UNHEALTHY, "NotReadyInTime"),
        (NO_AGENT, "ExtensionFailed"),
        (BROKEN, "OSProvisioningTimedOut"),
    ],
)
def test_a_canary_that_fails_halts_is_kept_for_investigation_and_nothing_else_is_touched(fate: str, code: str) -> None:
    world = World(a_pool(hosts_named(12, sessions=2)))
    world.fate = fate
    world.run()

    assert (world.state.phase, world.state.reason) == (Phase.HALTED, code)
    assert world.state.quarantined == {"avd-013": code}
    assert world.hosts["avd-013"].tags[QUARANTINE_TAG] == code
    assert not world.hosts["avd-013"].allows_new_sessions
    assert not drained_outdated_hosts(world)
    assert len(world.steps(ProvisionHost)) == 1
    assert world.nothing_is_left_over()


def test_a_host_that_never_registers_is_quarantined_with_the_reason_in_the_message() -> None:
    world = World()
    world.fate = NEVER_REGISTERS
    world.run()

    assert "not in service 45 minutes after it was started" in world.state.message
    assert "it has not registered with the host pool" in world.state.message


def test_a_canary_that_azure_refuses_for_good_halts_with_azures_own_words() -> None:
    world = World()
    world.refuse(ProvisionHost, StepError("InvalidParameter", "the size is not valid", retriable=False))
    world.run()

    assert world.state.phase is Phase.HALTED
    assert "InvalidParameter: the size is not valid" in world.state.message
    assert world.nothing_is_left_over()


def test_one_failed_extension_is_tried_again_before_the_canary_counts_as_failed() -> None:
    world = World()
    world.fates["avd-013"] = NO_AGENT
    world.at(minutes(12), lambda: world.fates.update({"avd-013": "good"}))
    world.run()

    assert world.state.phase is Phase.SUCCEEDED


@STRATEGIES
def test_a_canary_that_somebody_removes_while_it_bakes_is_replaced_by_another(strategy: str) -> None:
    world = World(a_pool(hosts_named(4)), a_policy(strategy=strategy)).run(Phase.BAKING)
    world.remove("avd-005")
    world.run()

    assert world.state.phase is Phase.SUCCEEDED
    assert world.versions() == {NEXT: 4}
    assert "avd-005" not in world.hosts


@STRATEGIES
def test_the_canary_of_a_pool_of_one_that_somebody_removes_is_replaced_by_another(strategy: str) -> None:
    world = World(a_pool(hosts_named(1)), a_policy(strategy=strategy, reserve=0)).run(Phase.BAKING)
    world.remove("avd-002")
    world.run()

    assert world.versions() == {NEXT: 1}


def test_a_canary_that_somebody_removes_before_it_is_in_service_is_replaced_by_another() -> None:
    world = World().run(lambda world: "Joining" in {str(p.stage) for p in world.state.in_hand.values()})
    world.remove("avd-013")
    world.run(Phase.BAKING)

    assert world.state.canary == ("avd-014",)


def test_the_only_host_is_proven_for_the_whole_bake_before_the_rollout_succeeds_in_place() -> None:
    world = World(a_pool(hosts_named(1)), a_policy(strategy="in_place", reserve=0)).run()
    in_service = next(at for at, sentence in world.story if "avd-002 is good and in service" in sentence)

    assert world.state.phase is Phase.SUCCEEDED
    assert world.now - in_service >= minutes(30)


def test_the_canary_runs_even_when_most_hosts_are_switched_off() -> None:
    hosts = [*hosts_named(5, powered_off=True), a_host("avd-006", sessions=2)]
    world = World(a_pool(hosts)).run(Phase.BAKING)

    assert world.hosts["avd-007"].power == "running"
    assert world.run().state.phase is Phase.SUCCEEDED


def test_in_place_the_canary_takes_the_place_of_a_host_that_runs() -> None:
    hosts = [*hosts_named(4, powered_off=True), a_host("avd-005", sessions=1), a_host("avd-006", sessions=2)]
    world = World(a_pool(hosts), a_policy(strategy="in_place", reserve=10)).run()

    assert sorted(host.power for host in world.hosts.values()) == ["deallocated"] * 4 + ["running"] * 2


def test_a_pool_that_has_current_hosts_already_still_proves_a_canary_of_this_rollout() -> None:
    world = World(a_pool(outdated=6, current=6)).run(Phase.BAKING)

    assert world.state.canary == ("avd-013",)


def test_the_gate_stays_shut_while_the_window_is_shut() -> None:
    policy = a_policy(windows=(a_window("08:00", minutes(45)),))
    world = World(a_pool(), policy).run(lambda world: world.now.hour >= 20)

    assert not drained_outdated_hosts(world)
    assert world.state.phase is Phase.WAITING_WINDOW


def test_a_version_for_the_wrong_pool_cannot_be_rolled_back_to_by_starting_a_rollout_of_it() -> None:
    world = World(a_pool(hosts_named(3, version="3.0.0")), state=a_state("2.0.0"))
    world.run()

    assert world.versions() == {"3.0.0": 3}
    assert not world.done_steps
    assert world.state.target == version_id("2.0.0")


def test_a_canary_is_not_removed_by_the_rollout_that_made_it() -> None:
    world = World(a_pool(hosts_named(6, sessions=5))).run()

    assert "avd-007" in world.hosts
    assert "avd-007" not in {step.host for step in world.steps(RemoveHost)}


@STRATEGIES
def test_a_bake_that_ends_outside_every_window_counts_when_the_next_one_opens(strategy: str) -> None:
    policy = a_policy(strategy=strategy, windows=(a_window("08:00", hours(3)), a_window("20:00", hours(10))))
    world = World(a_pool(hosts_named(3)), policy).run()

    assert world.state.phase is Phase.SUCCEEDED
