"""The pace of a rollout: when people must be asked to leave, how many hosts are made, missing and emptied at a time."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from rollout.model import HostProgress, Phase, Stage
from rollout.pace import ask_from, worth_asking_ahead
from rollout.policy import hours, minutes
from rollout.steps import NotifySessions, RemoveHost
from rollout.turn import NEW_HOST_STAGES, Turn
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
from tests.rollout.world import World

CYCLE = minutes(35)
"""From the removal of a host until its successor is in service: 25 minutes, and ten for the removal."""


def a_turn(outdated: int = 12, *, in_hand: dict[str, HostProgress] | None = None, **policy: Any) -> Turn:
    """A turn of a rollout in its waves on a pool of so many outdated hosts; the grace period is an hour."""
    pool = a_pool(outdated=outdated, current=3)
    return Turn(a_rolling_state(pool, in_hand, desired=12), pool, a_policy(**policy), MORNING)


def asked_at(world: World) -> datetime:
    """When the first person is asked to leave after the canary has passed."""
    world.run(lambda world: world.state.canary_passed)
    world.messages.clear()
    world.run(lambda world: world.messages)
    return world.messages[0][0]


# ---------------------------------------------------------------------------------------------------------------- when


def test_without_a_time_to_be_over_there_is_none_to_ask_from() -> None:
    assert ask_from(a_turn()) is None


@pytest.mark.parametrize(
    ("policy", "groups"),
    [
        ({"surge": 1}, 12),
        ({"surge": 3}, 4),
        ({"surge": 5}, 3),
        ({"surge": 3, "max_unavailable": 1}, 3),
        ({"surge": 12, "max_creating": 2}, 6),
        ({"strategy": "in_place"}, 12),
        ({"strategy": "in_place", "max_unavailable": 4}, 3),
    ],
)
def test_people_are_asked_so_early_that_the_rest_can_be_replaced_in_groups(policy: dict[str, Any], groups: int) -> None:
    """Twelve hosts are left; the last ones begin to go when their grace period is over."""
    turn = a_turn(finish_within=hours(24), **policy)

    assert ask_from(turn) == MORNING + hours(24) - hours(1) - groups * CYCLE


def test_the_moment_is_later_the_fewer_hosts_are_left_to_replace() -> None:
    moments = [ask_from(a_turn(left, finish_within=hours(24))) for left in (12, 6, 1)]

    assert moments == [MORNING + hours(23) - left * CYCLE for left in (12, 6, 1)]


def test_hosts_that_are_leaving_or_on_their_way_are_left_to_replace_as_well() -> None:
    in_hand = {"avd-001": a_drain(), "avd-900": HostProgress(stage=Stage.PROVISIONING, since=MORNING)}

    assert ask_from(a_turn(12, in_hand=in_hand, finish_within=hours(24))) == MORNING + hours(23) - 13 * CYCLE


def test_with_a_time_of_day_to_finish_by_people_are_asked_in_time_for_that() -> None:
    """The example of the concepts: 06:00 in Zurich is 05:00 in UTC."""
    turn = a_turn(finish_by="06:00", zone="Europe/Zurich")

    assert ask_from(turn) == MORNING + hours(21) - hours(1) - 12 * CYCLE


@pytest.mark.parametrize(
    ("opens", "length", "over"),
    [
        ("08:00", 10, 10),  # no other one opens before the rollout shall be over
        ("08:00", 23, 20),  # it closes too late to matter
        ("20:00", 10, 20),  # it is not open yet
    ],
)
def test_what_must_be_over_when_the_last_window_closes_is_asked_for_before_that(
    opens: str, length: int, over: int
) -> None:
    turn = a_turn(4, finish_within=hours(20), windows=(a_window(opens, hours(length)),))

    assert ask_from(turn) == MORNING + hours(over) - hours(1) - 4 * CYCLE


def test_as_long_as_another_window_opens_in_time_the_first_one_may_close() -> None:
    turn = a_turn(4, finish_within=hours(40), windows=(a_window("08:00", hours(4)),))

    assert ask_from(turn) == MORNING + hours(39) - 4 * CYCLE


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
def test_a_rollout_that_asks_as_late_as_it_can_is_over_in_time(strategy: str) -> None:
    policy = a_policy(strategy=strategy, finish_within=hours(24), reserve=5)
    world = World(a_pool([a_host("avd-001"), *hosts_named(5, first=2, sessions=3)]), policy)
    world.leave_after = None
    first = asked_at(world)
    world.run()

    assert first - MORNING > hours(17)
    assert world.state.phase is Phase.SUCCEEDED
    assert world.now - MORNING < hours(24)


def test_who_leaves_in_the_evening_is_never_asked() -> None:
    world = World(a_pool(hosts_named(6, sessions=3)), a_policy(finish_within=hours(36)))
    for number in range(1, 7):
        for person in range(1, 4):
            name = f"avd-{number:03}"
            world.at(hours(8 + person), lambda name=name, person=person: world.sign_out(name, f"{name}/{person}"))  # type: ignore[misc]
    world.run()

    assert world.state.phase is Phase.SUCCEEDED
    assert not world.steps(NotifySessions)
    assert not world.forced


# ------------------------------------------------------------------------------------------------------------ how many


@pytest.mark.parametrize(
    ("policy", "hosts"),
    [
        ({"surge": 1}, 3),  # 1 + 60 / 35
        ({"surge": 4}, 11),
        ({"surge": 4, "max_creating": 1}, 3),
        ({"surge": 1, "drain": {"grace": hours(8)}}, 15),
        ({"surge": 1, "expected_provisioning": hours(2)}, 2),
    ],
)
def test_as_many_are_worth_asking_as_can_be_replaced_before_the_last_of_them_has_to_go(
    policy: dict[str, Any], hosts: int
) -> None:
    assert worth_asking_ahead(a_turn(**policy)) == hosts


@pytest.mark.parametrize(("max_creating", "most"), [(2, 2), ("25%", 3), (20, 6)])
def test_no_more_hosts_are_made_at_a_time_than_the_policy_says(max_creating: int | str, most: int) -> None:
    world = World(a_pool(hosts_named(12)), a_policy(surge=6, max_creating=max_creating, max_wave="100%"))
    largest = 0
    while not world.turn().done:
        largest = max(largest, sum(host.stage in NEW_HOST_STAGES for host in world.state.in_hand.values()))

    assert largest == most
    assert world.versions() == {NEXT: 12}


def in_service(world: World) -> list[str]:
    """Hosts that serve people or could."""
    return [host.name for host in world.hosts.values() if host.registration and host.provisioning != "Deleting"]


@pytest.mark.parametrize("max_unavailable", [0, 1, 3])
def test_with_a_surge_no_more_hosts_are_missing_than_may_be_and_the_empty_ones_go_first(max_unavailable: int) -> None:
    policy = a_policy(surge=2, max_unavailable=max_unavailable, max_wave="100%", finish_within=hours(40))
    world = World(a_pool([*hosts_named(6), *hosts_named(6, first=7, sessions=2)]), policy)
    least = 12
    while not world.turn().done:
        least = min(least, len(in_service(world)))

    assert least == 12 - max_unavailable
    removed = [step.host for step in world.steps(RemoveHost)]
    assert set(list(dict.fromkeys(removed))[:6]) == {f"avd-{n:03}" for n in range(1, 7)}


def test_with_a_surge_nobody_is_asked_to_leave_for_a_host_that_may_be_missing_before_the_canary_has_passed() -> None:
    world = World(a_pool(hosts_named(4, sessions=2)), a_policy(max_unavailable=2)).run(Phase.BAKING)

    assert not world.messages
    assert len(in_service(world)) == 5


# ------------------------------------------------------------------------------------------------------------ in zones


@pytest.mark.parametrize(
    "policy", [{"surge": 2}, {"surge": 3, "max_unavailable": 2}, {"strategy": "in_place", "max_unavailable": 3}]
)
def test_at_no_time_has_a_zone_many_more_hosts_than_another(policy: dict[str, Any]) -> None:
    """All are alike: one after the other and by cost alone, the first zone would be emptied before the others."""
    hosts = [a_host(f"avd-{n:03}", zone=str(n % 3)) for n in range(1, 13)]
    world = World(a_pool(hosts), a_policy(max_wave="100%", **policy))
    widest = 0
    while not world.turn().done:
        zones = Counter(world.hosts[name].zone for name in in_service(world))
        widest = max(widest, max(zones[zone] for zone in "012") - min(zones[zone] for zone in "012"))

    assert widest <= 2
    assert world.zones() == {"0": 4, "1": 4, "2": 4}


def test_in_a_zone_with_too_many_hosts_even_a_dearer_empty_host_goes_first() -> None:
    """A host that is switched off is cheapest; but its zone has no host too many."""
    hosts = [a_draining_host("avd-001", zone="1", powered_off=True), a_draining_host("avd-002", zone="2")]
    pool = a_pool([*hosts, a_host("avd-003", NEXT, zone="2"), a_host("avd-004", NEXT, zone="1")])
    world = World(pool, a_policy(), a_rolling_state(pool, desired=3, zones={"1": 2, "2": 1}))
    world.turn()

    assert [name for name, host in world.state.in_hand.items() if host.stage is Stage.DRAINING] == ["avd-002"]
