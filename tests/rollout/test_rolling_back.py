"""Rolling a host pool back: only hosts of the refused version go, and under the rules that hold for every rollout."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from rollout.commands import Command
from rollout.model import QUARANTINE_TAG, ImageVersion, Phase, RegionReplica, RolloutState, Stage
from rollout.policy import hours
from rollout.pool import decide, start, tell
from rollout.rolling_back import go_back, policy_of_roll_back, version_before
from tests.rollout.builders import (
    MORNING,
    NEXT,
    POOL_ID,
    ROLLOUT,
    SHAPE,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    a_state,
    a_window,
    hosts_named,
    version_id,
)
from tests.rollout.world import GOOD, UNHEALTHY, World

BEFORE = "1.0.0"


def a_roll_back(**fields: Any) -> RolloutState:
    """A roll back from 2.0.0 to 1.0.0, before its first turn."""
    begun = start(ROLLOUT, POOL_ID, version_id(BEFORE), MORNING, instead_of=version_id(NEXT))
    return structs.replace(begun, **fields)


def a_world(*hosts: Any, policy: Any = None, **state: Any) -> World:
    pool = a_pool(list(hosts), target=BEFORE)
    return World(pool, policy or policy_of_roll_back(a_policy(surge=2)), a_roll_back(**state))


def story(world: World) -> list[str]:
    return [sentence for _, sentence in world.story]


# ---------------------------------------------------------------------------------------------------- what it replaces


def test_every_host_on_the_refused_version_goes_back_to_the_one_before() -> None:
    world = a_world(*hosts_named(6, version=NEXT, sessions=2)).run()

    assert world.state.phase is Phase.ROLLED_BACK
    assert world.versions() == {BEFORE: 6}
    assert world.state.message == "rolled back to 1.0.0: 6 hosts are in service, none of them on 2.0.0"
    assert story(world)[0].startswith("6 of 6 hosts are on 2.0.0; rolling back from 2.0.0 to 1.0.0")


def test_hosts_that_never_were_on_the_refused_version_stay_whatever_they_run() -> None:
    kept = [a_host("avd-001"), a_host("avd-002", "0.9.0"), a_host("avd-003", "3.0.0")]
    world = a_world(*kept, a_host("avd-004", NEXT)).run()

    assert {"avd-001", "avd-002", "avd-003"} <= set(world.hosts)
    assert world.versions() == {"0.9.0": 1, BEFORE: 2, "3.0.0": 1}


def test_no_canary_is_waited_for_as_the_version_has_served_before() -> None:
    world = a_world(*hosts_named(3, version=NEXT)).run()
    assert world.state.canary == ()
    assert not any("canary" in sentence for sentence in story(world))


@pytest.mark.parametrize("size", [1, 3])
def test_a_pool_whose_canary_failed_in_place_has_again_what_made_room_for_it(size: int) -> None:
    """Also where that was the only host: what it was like is remembered."""
    hosts = [a_host("avd-001", powered_off=True), *hosts_named(size - 1, first=2, drained=True)]
    policy = a_policy(strategy="in_place", on_failure="roll_back", max_unavailable=1)
    world = World(a_pool(hosts), policy)
    world.fate = UNHEALTHY
    ended = world.run(Phase.HALTED).run().state
    back = go_back(ended, policy, world.now)
    assert back is not None
    world.state, world.fate, world.policy = back, GOOD, policy_of_roll_back(policy)
    world.image = ImageVersion(id=back.target)

    world.run()

    assert world.state.phase is Phase.ROLLED_BACK
    in_service = [host for host in world.hosts.values() if QUARANTINE_TAG not in host.tags]
    assert len(in_service) == size
    assert [host.is_powered_off for host in in_service].count(True) == 1
    assert all(host.shape == SHAPE for host in in_service)


def test_its_phase_says_that_it_rolls_back() -> None:
    world = a_world(*hosts_named(3, version=NEXT, sessions=1)).run(until=Phase.ROLLING_BACK)
    assert "hosts are on 1.0.0" in world.state.message


def test_a_pool_where_nothing_is_left_to_take_back_is_done_at_once() -> None:
    world = a_world(*hosts_named(3)).run()
    assert (world.state.phase, world.versions()) == (Phase.ROLLED_BACK, {BEFORE: 3})


def test_a_pool_that_has_lost_hosts_gets_them_again() -> None:
    world = a_world(*hosts_named(2), a_host("avd-003", NEXT), size=5).run()
    assert (world.state.phase, world.versions()) == (Phase.ROLLED_BACK, {BEFORE: 5})


def test_people_get_their_notice_and_nobody_is_signed_out_twice() -> None:
    world = a_world(*hosts_named(5, version=NEXT, sessions=4))
    world.leave_after = None
    world.run()

    assert world.state.phase is Phase.ROLLED_BACK
    assert world.messages
    assert max(world.forced.values()) == 1


def test_it_can_be_paused_and_goes_on() -> None:
    world = a_world(*hosts_named(4, version=NEXT, sessions=1)).run(until=Phase.ROLLING_BACK)
    world.state = tell(world.state, Command("pause", "andrea@contoso.com", "a call"))
    world.run(until=Phase.PAUSED)
    world.state = tell(world.state, None)
    assert world.run().state.phase is Phase.ROLLED_BACK


def test_it_halts_when_hosts_of_the_version_before_fail_as_well() -> None:
    world = a_world(*hosts_named(6, version=NEXT))
    world.fate = UNHEALTHY
    world.run()
    assert world.state.phase is Phase.HALTED


# ----------------------------------------------------------------------------------------------------- no way back


def test_a_version_that_is_gone_from_the_gallery_is_no_way_back() -> None:
    pool = a_pool(hosts_named(2, version=NEXT), target=None)
    decision = decide(a_roll_back(), pool, a_policy(), MORNING)
    assert (decision.phase, decision.done, decision.state.reason) == (Phase.REFUSED, True, "ImageVersionGone")
    assert decision.steps == ()


def test_a_version_that_has_left_the_region_is_no_way_back() -> None:
    image = ImageVersion(id=version_id(BEFORE), regions={"eastus": RegionReplica("Completed", 100)})
    pool = structs.replace(a_pool(hosts_named(2, version=NEXT)), image=image)
    decision = decide(a_roll_back(), pool, a_policy(), MORNING)
    assert (decision.phase, decision.state.reason) == (Phase.REFUSED, "VersionNotInRegion")
    assert decision.state.message == "version 1.0.0 is not (any more) in westeurope"


def test_a_pool_that_has_halted_stays_halted_when_there_is_no_way_back() -> None:
    halted = structs.replace(a_roll_back(), phase=Phase.ROLLING_BACK, reason="TooManyFailedHosts", message="2 failed")
    decision = decide(halted, a_pool(hosts_named(2, version=NEXT), target=None), a_policy(), MORNING)
    assert (decision.phase, decision.state.reason) == (Phase.HALTED, "TooManyFailedHosts")
    assert decision.state.message == "2 failed; there is no way back: image version 1.0.0 does not exist"


# ------------------------------------------------------------------------------------------- which version, and when


def test_the_version_that_most_outdated_hosts_run_is_the_one_to_go_back_to() -> None:
    pool = a_pool([a_host("avd-001", "0.9.0"), *hosts_named(2, first=2), a_host("avd-004", NEXT)])
    decision = decide(a_state(), pool, a_policy(), MORNING)
    assert decision.state.previous == version_id(BEFORE)


def test_it_is_remembered_when_all_hosts_are_replaced() -> None:
    world = World(a_pool(outdated=2)).run()
    assert (world.state.phase, world.state.previous) == (Phase.SUCCEEDED, version_id(BEFORE))


def test_of_versions_that_are_as_common_the_newer_one_is_taken() -> None:
    hosts = [a_host("a", "1.9.0"), a_host("b", "1.10.0"), structs.replace(a_host("c"), image_version_id="")]
    assert version_before(hosts, "") == version_id("1.10.0")
    assert version_before([], "") == ""
    assert version_before(hosts, version_id(NEXT)) == ""  # a roll back is not rolled back


def a_halted_state(**fields: Any) -> RolloutState:
    known: dict[str, Any] = {
        "phase": Phase.HALTED,
        "reason": "TooManyFailedHosts",
        "message": "2 new hosts failed",
        "previous": version_id(BEFORE),
        "desired": 8,
        "signed_out": ("abc",),
        "forced_sign_outs": 3,
        "quarantined": {"avd-009": "NotReadyInTime"},
        "last_number": 9,
    }
    return a_state(**{**known, **fields})


def test_a_halt_is_followed_by_a_roll_back_where_the_policy_says_so() -> None:
    back = go_back(a_halted_state(), a_policy(on_failure="roll_back"), MORNING + hours(1))

    assert back is not None
    assert (back.target, back.instead_of) == (version_id(BEFORE), version_id(NEXT))
    assert (back.size, back.desired, back.canary_passed) == (8, -1, True)
    # Who has been signed out is spared, what failed stays set aside, no name is used again.
    assert (back.signed_out, back.forced_sign_outs) == (("abc",), 3)
    assert (back.quarantined, back.last_number) == ({"avd-009": "NotReadyInTime"}, 9)


@pytest.mark.parametrize(
    ("state", "on_failure"),
    [
        ({}, "halt"),
        ({"phase": Phase.ABORTED}, "roll_back"),
        ({"reason": "ImageVersionGone"}, "roll_back"),
        ({"previous": ""}, "roll_back"),
        ({"instead_of": version_id(NEXT)}, "roll_back"),
    ],
)
def test_nothing_else_is_followed_by_one(state: dict[str, Any], on_failure: str) -> None:
    assert go_back(a_halted_state(**state), a_policy(on_failure=on_failure), MORNING) is None


def test_windows_and_deadlines_do_not_hold_it_up() -> None:
    waits = a_policy(
        windows=(a_window("20:00", hours(4)),),
        finish_within=hours(36),
        finish_by="06:00",
        drain={"sign_out_in_window_only": True},
    )
    policy = policy_of_roll_back(waits)
    assert (policy.windows, policy.finish_within, policy.finish_by) == ((), None, "")
    assert not policy.drain.sign_out_in_window_only
    assert policy.drain.grace == waits.drain.grace


# ------------------------------------------------------------------------------------------- letting go before it


def test_a_rollout_that_is_rolled_back_lets_go_and_takes_away_what_is_not_finished() -> None:
    world = World(a_pool(hosts_named(6, sessions=3)), a_policy(surge=2))
    world.run(until=lambda world: world.state.in_hand and world.state.canary_passed)
    world.state = tell(world.state, Command("roll_back", "andrea@contoso.com", "printing is broken"))
    made = [name for name, host in world.state.in_hand.items() if host.stage in (Stage.PROVISIONING, Stage.JOINING)]

    world.run()

    assert (world.state.phase, world.state.reason) == (Phase.ABORTED, "RollBackRequested")
    assert world.state.in_hand == {}
    assert not set(made) & set(world.hosts)
    assert not [host.name for host in world.hosts.values() if host.is_tagged or not host.allows_new_sessions]


def test_letting_go_provisions_nothing_more() -> None:
    pool = a_pool(hosts_named(3))
    state = a_rolling_state(pool, desired=5, command=Command("roll_back", "andrea@contoso.com"))
    decision = decide(state, pool, a_policy(), MORNING)
    assert (decision.done, decision.steps) == (True, ())
