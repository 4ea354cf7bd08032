"""The word for each host of a pool, from what Azure shows and what the rollout tells; and what a thousand weigh."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest
from msgspec import structs

from rollout.model import Phase, SessionHost
from rollout.pool import decide
from rollout.pool_view import HostState, PoolView, view_pool
from rollout.status import PoolStatus
from tests.rollout.builders import (
    MORNING,
    ROLLOUT,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    hosts_named,
    version_id,
)

TOLD = PoolStatus(
    pool="office",
    version="2.0.0",
    phase=Phase.ROLLING,
    message="rolling",
    draining={"2026-11-20T16:00:00Z": "avd-003 avd-099", "": "avd-098"},
    skipped={"avd-008": "GracePeriodEnded"},
    quarantined={"avd-010": "NotReadyInTime"},
)


def look(*hosts: SessionHost, target: str = "2.0.0", status: PoolStatus | None = TOLD) -> PoolView:
    version = version_id(target) if target else ""
    return view_pool(a_pool(list(hosts)), a_policy(), "production", version, "rollout", status)


@pytest.mark.parametrize(
    ("host", "state"),
    [
        (a_host("avd-001"), HostState.OUTDATED),
        (a_host("avd-001", drained=True), HostState.OUTDATED),
        (a_host("avd-001", version="3.0.0"), HostState.CURRENT),
        (a_host("avd-001", image_version_id=""), HostState.OUTDATED),
        (a_draining_host("avd-002"), HostState.STEERED),
        (a_draining_host("avd-003"), HostState.DRAINING),
        (a_draining_host("avd-098"), HostState.DRAINING),
        (a_draining_host("avd-004", provisioning="Deleting"), HostState.REMOVING),
        (a_draining_host("avd-004", vm_id=""), HostState.REMOVING),
        (a_host("avd-004", powered_off=True, tags={"goldroll-retained": "2026-11-22T08:00:00Z"}), HostState.RETAINED),
        (a_host("avd-005", registration="", provisioning="Creating"), HostState.PROVISIONING),
        (a_host("avd-005", registration="", provisioning="Failed"), HostState.PROVISIONING),
        (a_host("avd-006", registration="", provisioning="Updating"), HostState.JOINING),
        (a_host("avd-006", registration="", provisioning="Succeeded"), HostState.JOINING),
        (a_host("avd-007", version="2.0.0", drained=True, held_by=ROLLOUT), HostState.VERIFYING),
        (a_host("avd-007", version="2.0.0"), HostState.CURRENT),
        (a_host("avd-008"), HostState.SKIPPED),
        (a_host("avd-009", version="2.0.0", tags={"goldroll-quarantined": "Unhealthy"}), HostState.QUARANTINED),
        (a_host("avd-010", version="2.0.0"), HostState.QUARANTINED),
    ],
)
def test_a_host_has_one_word(host: SessionHost, state: HostState) -> None:
    view = look(host)

    assert view.hosts[0].state is state
    assert view.states == {state: 1}


def test_a_host_says_what_people_need_to_know_of_it() -> None:
    view = look(
        a_draining_host("avd-003", sessions=2),
        a_host("avd-011", powered_off=True, zone="2"),
        a_host("avd-012", status="Unavailable"),
        a_host("avd-013", drained=True),
    )
    draining, off, ill, drained = view.hosts

    assert (draining.sessions, draining.deadline, draining.drained) == (2, "2026-11-20T16:00:00Z", True)
    assert (off.power, off.zone, off.why) == ("deallocated", "2", "Shutdown")
    assert ill.why == "Unavailable"
    assert (drained.state, drained.drained) == (HostState.OUTDATED, True)


def test_a_view_counts_people_and_session_slots_as_the_rollout_does() -> None:
    view = look(
        a_draining_host("avd-003", sessions=2),
        *hosts_named(3, first=30, sessions=4),
        *hosts_named(2, first=20, version="2.0.0", sessions=1),
    )

    assert (view.people.on_outdated, view.people.on_current, view.people.draining) == (12 + 2, 2, 2)
    assert (view.slots.total, view.slots.free, view.slots.reserve) == (60, 3 * 6 + 2 * 9, 9)
    assert (view.pool, view.ring, view.version, view.phase) == ("office", "production", "2.0.0", Phase.ROLLING)


def test_in_a_roll_back_the_version_that_is_taken_back_is_outdated() -> None:
    status = structs.replace(TOLD, phase=Phase.ROLLING_BACK, instead_of=version_id("2.0.0"), draining={})

    view = look(a_host("avd-001", version="2.0.0", sessions=3), a_host("avd-002"), target="1.0.0", status=status)

    assert [host.state for host in view.hosts] == [HostState.OUTDATED, HostState.CURRENT]
    assert (view.people.on_outdated, view.people.on_current) == (3, 0)


def test_without_a_rollout_the_newest_version_of_the_pool_is_current() -> None:
    view = look(a_host("avd-001", version="1.9.0"), *hosts_named(3, first=2, version="1.10.0"), target="", status=None)

    assert view.version == "1.10.0"
    assert view.states == {HostState.OUTDATED: 1, HostState.CURRENT: 3}


def test_a_pool_without_hosts_has_a_view() -> None:
    view = look(target="", status=None)

    assert (view.hosts, view.version, view.slots.total) == ((), "", 0)


def test_a_thousand_hosts_are_less_than_two_hundred_kilobytes() -> None:
    """As large as it gets: the longest names, versions and zones, every host drained, with a deadline or a reason."""
    names = [f"avd-westeu-{n:04}" for n in range(1000)]
    some = dict.fromkeys(names[:20], "GracePeriodEnded")
    deadlines = {"2026-11-20T16:00:00Z": " ".join(names[20:270])}
    status = structs.replace(TOLD, draining=deadlines, skipped=some, message="x" * 1000)
    version = version_id("20261120.123456.1")
    hosts = [
        a_draining_host(name, sessions=12, zone="3", image_version_id=version, status="Upgrading") for name in names
    ]
    pool = structs.replace(a_pool(hosts), pool=structs.replace(a_pool().pool, max_session_limit=16))

    encoded = msgspec.json.encode(view_pool(pool, a_policy(), "", version_id("20261121.1.1"), ROLLOUT, status))

    assert len(encoded) < 200_000
    assert msgspec.json.decode(encoded, type=PoolView).states == {
        HostState.STEERED: 730,
        HostState.DRAINING: 250,
        HostState.SKIPPED: 20,
    }


def test_a_look_at_a_pool_costs_less_than_a_turn_of_its_rollout() -> None:
    """Everybody who looks makes the view anew, though the picture is shared: at a thousand hosts some milliseconds.

    A ratio on the same machine, of the best of several runs each; today it is somewhat more than half a turn.
    """
    snapshot = a_pool(hosts_named(1000, sessions=4))
    state, policy = a_rolling_state(snapshot), a_policy()

    view = _best_of(5, lambda: view_pool(snapshot, policy, "", version_id("2.0.0"), "rollout", TOLD))
    turn = _best_of(5, lambda: decide(state, snapshot, policy, MORNING))

    assert view < 2 * turn


def _best_of(runs: int, work: Callable[[], object]) -> float:
    def seconds() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(seconds() for _ in range(runs))
