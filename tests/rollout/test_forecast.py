"""The forecast: how many people have signed in of late decides what stays free, what is given back, when to look."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from rollout.model import SessionHost
from rollout.policy import hours, minutes
from rollout.pool import decide
from rollout.steering import STARTS_PER_TURN
from rollout.steps import Decision, StartDraining, StopDraining
from tests.rollout.builders import (
    MORNING,
    NEXT,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    hosts_named,
    steered_hosts,
)


def arrived(hosts: list[SessionHost], ago: timedelta) -> list[SessionHost]:
    """The same hosts, everybody on them having signed in so long ago."""
    return [
        structs.replace(host, sessions=tuple(structs.replace(s, began=MORNING - ago) for s in host.sessions))
        for host in hosts
    ]


def decided(hosts: list[SessionHost], *, desired: int | None = None, **policy: Any) -> Decision:
    """One turn of a rollout in its waves that has so much time that it asks nobody to leave."""
    pool = a_pool(hosts)
    state = a_rolling_state(pool, desired=len(hosts) if desired is None else desired)
    return decide(state, pool, a_policy(finish_within=hours(90), **policy), MORNING)


def steered(hosts: list[SessionHost], **policy: Any) -> list[str]:
    """The hosts that are put into drain mode, in order."""
    return [step.host for step in decided(hosts, **policy).steps if isinstance(step, StartDraining)]


# ---------------------------------------------------------------------------------------------------- what stays free


@pytest.mark.parametrize(
    ("ago", "count"),
    [
        (minutes(5), 2),  # 120 sign-ins an hour are 50 until a new host is there: 60 slots stay free
        (minutes(30), 8),  # 20 an hour are 9 until then: the share of 15 slots is more
        (hours(5), 8),
    ],
)
def test_the_more_people_have_signed_in_of_late_the_fewer_hosts_are_steered(ago: timedelta, count: int) -> None:
    """100 slots, 80 of them free; each host that is steered costs eight."""
    assert len(steered(arrived(hosts_named(10, sessions=2), ago))) == count


def test_the_longer_a_new_host_takes_the_more_sign_ins_are_prepared_for() -> None:
    """20 sign-ins an hour: 40 in two hours, so 48 slots stay free."""
    hosts = arrived(hosts_named(10, sessions=2), minutes(30))

    assert len(steered(hosts, expected_provisioning=hours(2))) == 4


def test_people_who_have_signed_in_to_drained_or_new_hosts_count_as_well() -> None:
    hosts = [*steered_hosts(2, sessions=5), *hosts_named(4, first=3, sessions=2), a_host("avd-007", NEXT, sessions=5)]
    busy = [*arrived(hosts[:2], minutes(5)), *hosts[2:-1], *arrived(hosts[-1:], minutes(5))]

    assert len(steered(hosts)) == 3
    assert len(steered(busy)) == 0


# ------------------------------------------------------------------------------------------------------- whom it costs


def test_of_hosts_alike_one_zone_after_the_other_is_steered() -> None:
    """60 slots, 48 of them free, 24 to keep: three hosts may go, and they are of three zones."""
    hosts = [a_host(f"avd-{n:03}", sessions=2, zone=str((n + 1) // 2)) for n in range(1, 7)]

    assert steered(hosts, reserve=40) == ["avd-001", "avd-003", "avd-005"]


def test_the_emptiest_host_is_steered_first_whatever_its_zone() -> None:
    hosts = [a_host(f"avd-{n:03}", sessions=n, zone="1" if n < 3 else "2") for n in range(1, 5)]

    assert steered(hosts, reserve=40) == ["avd-001"]


def test_no_more_hosts_are_steered_in_one_turn_than_make_a_bearable_history() -> None:
    assert len(steered(hosts_named(120))) == STARTS_PER_TURN


# ------------------------------------------------------------------------------------------------------ as they arrive


def test_when_a_shift_begins_hosts_are_given_back_before_anybody_is_refused() -> None:
    """16 sign-ins in ten minutes are 40 until a new host is there: 48 slots should be free, and 24 are."""
    steered_ones = [a_draining_host(f"avd-{n:03}", sessions=n) for n in range(1, 5)]
    current = [a_host(f"avd-{n:03}", NEXT, sessions=4) for n in range(5, 9)]
    quiet = decided([*steered_ones, *current], desired=6)
    busy = decided([*steered_ones, *arrived(current, minutes(5))], desired=6)

    assert not [step for step in quiet.steps if isinstance(step, StopDraining)]
    assert [step.host for step in busy.steps if isinstance(step, StopDraining)] == ["avd-004", "avd-003", "avd-002"]
    assert "avd-004 is given back: free session slots are down to 24, the reserve is 48" in busy.story


@pytest.mark.parametrize(("ago", "looks_in"), [(minutes(5), 3.75), (minutes(30), 5), (hours(2), 5)])
def test_the_faster_people_sign_in_the_sooner_it_is_looked_again(ago: timedelta, looks_in: float) -> None:
    """96 sign-ins an hour use 24 slots up in a quarter of an hour; at a quarter of that it is looked again."""
    hosts = [a_draining_host("avd-001", sessions=1)]
    hosts += arrived([a_host(f"avd-{n:03}", NEXT, sessions=4) for n in range(2, 6)], ago)
    decision = decided(hosts, desired=4, expected_provisioning=minutes(5))

    assert decision.wake_at == MORNING + minutes(looks_in)
