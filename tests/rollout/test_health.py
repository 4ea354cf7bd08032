"""Health: when a host is fit, when a pool is not, and what a sick host means for the rollout."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollout.health import fallen_sick, judge_host, judge_pool, sick_since
from rollout.model import QUARANTINE_TAG, Phase
from rollout.policy import HealthPolicy, hours, minutes
from rollout.steps import StartDraining
from tests.rollout.builders import MORNING, NEXT, a_host, a_policy, a_pool, hosts_named
from tests.rollout.world import NEVER_REGISTERS, World

STRATEGIES = pytest.mark.parametrize("strategy", ["surge", "in_place"])
POLICY = HealthPolicy()


def code(*, in_service: bool, policy: HealthPolicy = POLICY, **fields: Any) -> str:
    """Why a host of these traits is not good, "" when it is."""
    return judge_host(a_host(**fields), policy, MORNING, in_service=in_service).code


# ------------------------------------------------------------------------------------------------------------ one host


@pytest.mark.parametrize("in_service", [True, False])
@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, ""),
        ({"provisioning": "Updating"}, "VmNotProvisioned"),
        ({"provisioning": ""}, "VmNotProvisioned"),
        ({"power": "deallocated"}, "VmNotRunning"),
        ({"power": ""}, "VmNotRunning"),
        ({"power": "hibernated"}, "VmNotRunning"),
        ({"registration": ""}, "NotRegistered"),
        ({"failed_checks": ("SxSStackListenerCheck",)}, "HealthCheckFailed"),
        ({"status": "Unavailable"}, "NotAvailable"),
        ({"status": "NotJoinedToDomain"}, "NotAvailable"),
        ({"status": "SomethingNew"}, "NotAvailable"),
        ({"status": ""}, "NotAvailable"),
        ({"last_heartbeat": None}, "NoHeartbeat"),
        ({"last_heartbeat": MORNING - minutes(11)}, "NoHeartbeat"),
        ({"last_heartbeat": MORNING - minutes(10)}, ""),
    ],
)
def test_a_host_is_good_only_when_everything_that_is_read_says_so(
    fields: dict[str, Any], why: str, in_service: bool
) -> None:
    assert code(in_service=in_service, **fields) == why


@pytest.mark.parametrize("status", ["Upgrading", "NeedsAssistance"])
def test_a_host_in_service_may_upgrade_its_agent_or_need_assistance_a_new_one_may_not(status: str) -> None:
    assert code(in_service=False, status=status) == "NotAvailable"
    assert code(in_service=True, status=status) == ""


def test_a_policy_may_take_new_hosts_that_need_assistance_into_service() -> None:
    lenient = HealthPolicy(allow_needs_assistance=True)

    assert code(in_service=False, policy=lenient, status="NeedsAssistance") == ""
    assert code(in_service=False, policy=lenient, status="Upgrading") == "NotAvailable"


def test_the_reason_says_in_words_what_is_wrong() -> None:
    host = a_host(failed_checks=("SxSStackListenerCheck", "MonitoringAgentCheck"))

    assert (
        judge_host(host, POLICY, MORNING, in_service=True).why == "SxSStackListenerCheck, MonitoringAgentCheck failed"
    )
    assert judge_host(a_host(power=""), POLICY, MORNING, in_service=True).why == "its VM is in an unknown power state"


# ------------------------------------------------------------------------------------------------------------- the pool


def test_sickness_is_dated_from_when_it_was_first_seen_and_forgotten_when_it_is_over() -> None:
    hosts = [a_host("avd-001", status="Unavailable"), a_host("avd-002"), a_host("avd-003", status="Unavailable")]
    known = {"avd-001": MORNING - hours(1), "avd-002": MORNING - hours(1), "avd-009": MORNING}

    assert sick_since(hosts, known, POLICY, MORNING) == {"avd-001": MORNING - hours(1), "avd-003": MORNING}


def test_a_host_that_is_switched_off_is_not_sick() -> None:
    assert sick_since([a_host(powered_off=True)], {}, POLICY, MORNING) == {}


def test_only_a_lasting_sickness_that_began_during_the_rollout_counts() -> None:
    sick = {"before": MORNING, "long": MORNING + minutes(1), "short": MORNING + minutes(8)}

    assert fallen_sick(sick, MORNING, minutes(5), MORNING + minutes(10)) == ["long"]


@pytest.mark.parametrize(("unfit", "good"), [(0, True), (1, True), (2, False)])
def test_more_unhealthy_current_hosts_than_the_percentage_halt(unfit: int, good: bool) -> None:
    """One of nine is 11 %, two are 22 %, with 20 % tolerated."""
    current = hosts_named(9, version=NEXT)
    verdict = judge_pool(current, current, [host.name for host in current[:unfit]], POLICY)

    assert verdict.good == good


def test_outdated_hosts_that_fall_sick_count_for_the_pool_not_for_the_new_version() -> None:
    outdated, current = hosts_named(9), hosts_named(3, first=10, version=NEXT)
    everybody = [*outdated, *current]

    assert judge_pool(current, everybody, ["avd-001", "avd-002"], POLICY).good
    assert judge_pool(current, everybody, ["avd-001", "avd-002", "avd-003"], POLICY).code == "TooManyUnhealthyHosts"


def test_hosts_that_are_switched_off_do_not_dilute_the_percentage() -> None:
    current = [*hosts_named(4, version=NEXT), *hosts_named(20, first=5, version=NEXT, powered_off=True)]

    assert not judge_pool(current, current, ["avd-001"], POLICY).good


def test_a_pool_of_hosts_that_are_all_switched_off_is_judged_good() -> None:
    current = hosts_named(3, version=NEXT, powered_off=True)

    assert judge_pool(current, current, [], POLICY).good


# ------------------------------------------------------------------------------------------------------ as it happens


def rolling(hosts: int = 12, **policy: Any) -> World:
    """A rollout with seven hosts on the new version, and no people who would hold it up."""
    world = World(a_pool(hosts_named(hosts)), a_policy(**policy))
    return world.run(lambda world: world.versions()[NEXT] >= 7 and not world.on_their_way())


def newest_in_service(world: World, count: int) -> list[str]:
    current = [host.name for host in world.hosts.values() if host.image_version_id.endswith(NEXT)]
    return sorted(current)[-count:]


def test_current_hosts_that_fall_sick_halt_the_rollout_at_the_percentage() -> None:
    world = rolling()
    for name in newest_in_service(world, 2):
        world.change(name, status="Unavailable")
    world.run()

    assert (world.state.phase, world.state.reason) == (Phase.HALTED, "TooManyUnhealthyCurrentHosts")
    assert "2 of" in world.state.message
    assert world.nothing_is_left_over()


def test_a_single_bad_reading_of_the_whole_pool_halts_nothing() -> None:
    world = rolling()
    for name in list(world.hosts):
        world.change(name, status="NoHeartbeat")
    world.turn()
    for name in list(world.hosts):
        world.change(name, status="Available")

    assert world.run().state.phase is Phase.SUCCEEDED


@STRATEGIES
def test_one_current_host_that_stays_sick_does_not_stop_the_rollout_for_ever(strategy: str) -> None:
    world = rolling(strategy=strategy, surge=1)
    (name,) = newest_in_service(world, 1)
    world.change(name, status="Unavailable")
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert world.state.quarantined == {name: "StaysUnhealthy"}
    assert world.hosts[name].tags[QUARANTINE_TAG] == "StaysUnhealthy"
    assert world.versions() == {NEXT: 12}


def test_people_on_a_host_that_is_taken_aside_for_its_sickness_are_not_signed_out() -> None:
    world = rolling()
    (name,) = newest_in_service(world, 1)
    world.sign_in(name, "somebody")
    world.change(name, status="Unavailable")
    world.run()

    assert world.people()["somebody"] == 1
    assert not world.forced


def test_a_second_current_host_that_stays_sick_halts() -> None:
    world = rolling(health={"max_unhealthy_current_percent": 100, "max_unhealthy_percent": 100})
    for name in newest_in_service(world, 2):
        world.change(name, status="Unavailable")
    world.run()

    assert (world.state.phase, world.state.reason) == (Phase.HALTED, "TooManyFailedHosts")


def test_a_sick_host_that_recovers_in_time_stays_in_service() -> None:
    world = rolling()
    (name,) = newest_in_service(world, 1)
    world.change(name, status="Unavailable")
    world.at(minutes(40), lambda: world.change(name, status="Available"))
    world.run()

    assert world.state.phase is Phase.SUCCEEDED
    assert name in world.hosts


def test_hosts_that_were_unhealthy_before_are_not_held_against_the_rollout() -> None:
    hosts = [*hosts_named(4, status="Unavailable"), *hosts_named(4, first=5)]

    assert World(a_pool(hosts)).run().state.phase is Phase.SUCCEEDED


def test_current_hosts_that_were_unhealthy_before_neither_halt_nor_stop_the_rollout() -> None:
    sick = [a_host(f"avd-00{n}", NEXT, status="Unavailable") for n in (1, 2)]
    world = World(a_pool([*sick, *hosts_named(4, first=3)])).run()

    assert world.state.phase is Phase.SUCCEEDED
    assert not world.state.quarantined


def test_what_was_unhealthy_before_and_has_been_replaced_excuses_nothing_later() -> None:
    world = World(a_pool(hosts_named(12, status="Unavailable")))
    world.run(lambda world: world.versions()[NEXT] >= 5 and not world.on_their_way())
    for name in newest_in_service(world, 3):
        world.change(name, status="Unavailable")

    assert world.run().state.phase is Phase.HALTED


def test_a_host_that_was_unhealthy_before_and_is_given_back_is_not_held_against_the_rollout_either() -> None:
    hosts = [a_host("avd-001", sessions=2, status="Unavailable"), *hosts_named(3, first=2)]
    world = World(a_pool(hosts), a_policy(drain={"on_timeout": "skip"}))
    world.leave_after = None
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert list(world.state.skipped) == ["avd-001"]


# ------------------------------------------------------------------------------------------------------ failure budget


def test_one_failed_host_is_tolerated_set_aside_and_replaced_by_another() -> None:
    world = World(a_pool(hosts_named(4)))
    world.fates["avd-006"] = NEVER_REGISTERS
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert world.state.message == "4 hosts are on 2.0.0; skipped or quarantined: avd-006 (NotReadyInTime)"
    assert world.versions() == {NEXT: 4}


def test_the_second_failed_host_halts() -> None:
    world = World(a_pool(hosts_named(4)))
    world.fates.update({"avd-006": NEVER_REGISTERS, "avd-007": NEVER_REGISTERS})
    world.run()

    assert (world.state.phase, world.state.reason) == (Phase.HALTED, "TooManyFailedHosts")
    assert world.state.message.startswith("2 new hosts failed, 1 tolerated; the last was avd-007")


def test_no_failed_host_is_tolerated_where_the_policy_tolerates_none() -> None:
    world = World(a_pool(hosts_named(4)), a_policy(health={"max_failed_hosts": 0}))
    world.fates["avd-006"] = NEVER_REGISTERS

    assert world.run().state.phase is Phase.HALTED


def test_a_failed_host_that_somebody_removes_still_counts() -> None:
    world = World(a_pool(hosts_named(4)))
    world.fates.update({"avd-006": NEVER_REGISTERS, "avd-007": NEVER_REGISTERS})
    world.run(lambda world: world.state.quarantined)
    world.turn()
    world.remove("avd-006")

    assert world.run().state.phase is Phase.HALTED


def test_a_failed_host_that_accepts_people_again_is_drained_again_while_the_rollout_runs() -> None:
    world = World(a_pool(hosts_named(4)))
    world.fates["avd-006"] = "unhealthy"
    world.run(lambda world: world.state.quarantined)
    world.turn()
    world.change("avd-006", allows_new_sessions=True)
    world.run_for(minutes(10))

    assert not world.hosts["avd-006"].allows_new_sessions


def test_a_new_host_is_in_service_only_after_it_has_been_good_for_the_whole_settling_time() -> None:
    world = World(a_pool(hosts_named(2)), a_policy(health={"settle": minutes(20)}))
    world.run(lambda world: world.hosts.get("avd-003") and world.hosts["avd-003"].registration)
    registered = next(at for at, step in world.done_steps if isinstance(step, StartDraining))
    world.run(lambda world: world.hosts["avd-003"].allows_new_sessions and not world.hosts["avd-003"].is_tagged)

    assert world.now - registered >= minutes(19)


def test_a_new_host_that_wobbles_settles_anew() -> None:
    world = World(a_pool(hosts_named(2)))
    world.run(lambda world: any(progress.good_since for progress in world.state.in_hand.values()))
    world.change("avd-003", status="Upgrading")
    world.turn()

    assert world.state.in_hand["avd-003"].good_since is None
    world.change("avd-003", status="Available")
    world.run(lambda world: not world.state.in_hand)
    assert world.now - MORNING >= minutes(20), "five minutes after the wobble; it would have been 08:17"


def test_people_are_kept_off_a_new_host_until_it_is_proven() -> None:
    world = World(a_pool(hosts_named(2)))
    world.run(lambda world: world.hosts.get("avd-003") and world.hosts["avd-003"].registration)

    assert not world.hosts["avd-003"].allows_new_sessions
    assert world.hosts["avd-003"].is_tagged


@pytest.mark.parametrize("bake", [minutes(30), hours(3)])
def test_a_bake_longer_than_a_host_may_take_to_be_ready_fails_no_canary(bake: timedelta) -> None:
    world = World(a_pool(hosts_named(3, powered_off=True)), a_policy(canary={"bake": bake}))

    assert world.run().state.phase is Phase.SUCCEEDED
