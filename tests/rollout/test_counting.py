"""What a turn counts for people to read: every host in one of four parts, people, and session slots."""

from __future__ import annotations

from rollout.counting import count
from rollout.model import HostProgress, Phase, PoolCounts, Stage
from rollout.pool import decide
from rollout.turn import Turn
from tests.rollout.builders import (
    MORNING,
    NEXT,
    a_drain,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    a_state,
    hosts_named,
    steered_hosts,
)
from tests.rollout.world import World


def test_before_anything_is_done_every_host_is_outdated() -> None:
    counts = decide(a_state(), a_pool(hosts_named(4, sessions=2)), a_policy(), MORNING).state.counts

    assert (counts.outdated, counts.in_hand, counts.current, counts.set_aside) == (4, 1, 0, 0)
    assert (counts.people_on_outdated, counts.people_on_current) == (8, 0)
    assert (counts.free, counts.reserve) == (32, 6)


def test_each_host_counts_once_whatever_is_done_with_it() -> None:
    hosts = [
        *hosts_named(3, first=1, sessions=8),
        *steered_hosts(1, first=4, sessions=8),
        a_draining_host("avd-005", sessions=2),
        *hosts_named(4, first=6, version=NEXT, sessions=1),
        a_host("avd-010", sessions=3),
        a_host("avd-011", version=NEXT, tags={"goldroll-quarantined": "NotReadyInTime"}),
    ]
    told = {"avd-005/1": MORNING, "avd-005/2": MORNING}
    in_hand = {"avd-005": a_drain(told=told), "avd-012": HostProgress(Stage.PROVISIONING, MORNING)}
    aside = {"skipped": {"avd-010": "GracePeriodEnded"}, "quarantined": {"avd-011": "NotReadyInTime"}}
    state = a_rolling_state(a_pool(hosts), in_hand, desired=10, **aside)

    counts = count(Turn(state, a_pool(hosts), a_policy(), MORNING))

    assert counts == PoolCounts(
        outdated=3,
        in_hand=3,
        current=4,
        set_aside=2,
        people_on_outdated=8 * 4 + 2 + 3,
        people_on_current=4,
        people_told=2,
        free=3 * 2 + 4 * 9 + 7,
        reserve=15,
    )


def test_a_rollout_that_has_succeeded_has_nothing_left_but_current_hosts() -> None:
    world = World(a_pool(hosts_named(4, sessions=1))).run()

    counts = world.state.counts
    assert world.state.phase is Phase.SUCCEEDED
    assert (counts.outdated, counts.in_hand, counts.current, counts.set_aside) == (0, 0, 4, 0)
    assert (counts.people_on_outdated, counts.people_on_current, counts.people_told) == (0, 4, 0)
