"""What a plan says of each host, of the pool's limits and of the rings, before anything is foretold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import structs

from forecast.plan import NOTHING, REFUSE, ROLL, UNREADABLE, PoolPlan, RolloutPlan, plan_pool
from forecast.rollout_plan import MOST_FORETOLD, plan_rollout
from rollout.assignments import ImageRollout
from rollout.model import QUARANTINE_TAG, ImageVersion, RegionReplica
from rollout.policy import ApprovalGate, GatesPolicy, ImagePolicy, ReplicationPolicy, RingPolicy, RingStart, hours
from tests.rollout.builders import MORNING, NEXT, a_host, a_policy, a_pool, a_window, hosts_named, version_id

READY = {"westeurope": RegionReplica("Completed", 100)}


def plan(hosts: list[Any], **policy: Any) -> PoolPlan:
    return plan_pool(a_pool(hosts), a_policy(**policy), version_id(NEXT), "", MORNING)


def reasons(made: PoolPlan) -> dict[str, tuple[int, str, str]]:
    return {one.host: (one.order, one.will, one.reason) for one in made.hosts}


def whole(pools: dict[str, Any], *rings: RingPolicy, foretell: bool = False, **image: Any) -> RolloutPlan:
    """The plan of a rollout of these pools, each a snapshot or why it cannot be read."""
    policies = tuple(a_policy(name=name, surge="10%") for name in pools)
    definition = version_id(NEXT).rsplit("/versions", 1)[0]
    policy = ImagePolicy(name="office", definition_id=definition, rings=rings, **image)
    version = ImageVersion(id=version_id(NEXT), location="westeurope", regions=READY)
    return plan_rollout(ImageRollout(version_id(NEXT), policy, policies), version, pools, MORNING, foretell=foretell)


# ------------------------------------------------------------------------------------------------------- one host pool


def test_hosts_are_listed_in_the_order_in_which_they_would_go_each_with_its_reason() -> None:
    made = plan(
        [
            a_host("avd-001", sessions=5),
            a_host("avd-002", sessions=2, disconnected=1),
            a_host("avd-003"),
            a_host("avd-004", powered_off=True),
            a_host("avd-005", drained=True, sessions=1),
            a_host("avd-006", NEXT, sessions=3),
            a_host("avd-007", tags={QUARANTINE_TAG: "NotReadyInTime"}, drained=True),
            a_host("avd-008", vm_id=""),
        ]
    )

    assert made.verdict == ROLL
    assert reasons(made) == {
        "avd-004": (
            1,
            "be replaced",
            "it is switched off, so nobody is on it; its replacement will be switched off as well",
        ),
        "avd-003": (2, "be replaced", "it is empty"),
        "avd-005": (3, "be replaced", "somebody else has drained it; its replacement will be in drain mode as well"),
        "avd-002": (4, "be replaced", "2 people are at work on it, 1 session disconnected"),
        "avd-001": (5, "be replaced", "5 people are at work on it"),
        "avd-006": (0, "stay", "it is on the version already"),
        "avd-007": (0, "be left alone", "it is kept for investigation (NotReadyInTime)"),
        "avd-008": (0, "be left alone", "it is registered but its VM is gone"),
    }


def test_percentages_are_told_as_counts_rounded_up() -> None:
    made = plan(hosts_named(30, sessions=4), surge="5%", max_unavailable="10%", max_wave="25%", reserve=15)

    assert made.limits is not None
    limits = made.limits
    assert (limits.surge, limits.max_unavailable, limits.at_a_time, limits.max_wave) == (2, 3, 5, 8)
    assert (limits.hosts, limits.outdated, limits.free_slots, limits.reserve) == (30, 30, 180, 45)


def test_a_pool_that_is_on_the_version_has_nothing_to_do() -> None:
    made = plan(hosts_named(3, version=NEXT))
    assert (made.verdict, made.message) == (NOTHING, "all 3 hosts are on 2.0.0 already")


def test_a_pool_that_a_rollout_would_refuse_is_refused_by_the_plan_for_the_same_reason() -> None:
    made = plan_pool(a_pool(pool_type="Personal"), a_policy(), version_id(NEXT), "", MORNING)
    assert (made.verdict, made.reason) == (REFUSE, "NotPooled")
    assert "Personal" in made.message


def test_the_window_in_which_it_would_begin_is_told() -> None:
    made = plan(hosts_named(2), windows=(a_window("20:00", hours(4)),))
    assert made.window == "the next window opens Fri 20 Nov 20:00 UTC"

    made = plan(hosts_named(2), windows=(a_window("06:00", hours(4)),))
    assert made.window == "a window is open until Fri 20 Nov 10:00 UTC"


# ----------------------------------------------------------------------------------------------------- a whole rollout


def test_a_plan_counts_what_would_happen_to_each_pool() -> None:
    made = whole({"a": a_pool(outdated=3), "b": a_pool(outdated=0, current=2), "c": "nobody may read it"})

    assert made.message == (
        "1 host pool would be rolled, 1 host pool has nothing to do, 1 host pool cannot be read; "
        "3 hosts would be replaced with version 2.0.0"
    )
    assert [(pool.pool, pool.verdict) for pool in made.pools] == [("a", ROLL), ("b", NOTHING), ("c", UNREADABLE)]
    assert made.regions == {"westeurope": "ready"}


def test_a_ring_starts_when_the_one_before_has_probably_passed_and_its_window_is_open() -> None:
    first = RingPolicy(name="first", host_pools=("a",), gates=GatesPolicy(soak=hours(4), approval=ApprovalGate()))
    window = a_window("06:00", hours(3), recurrence="FREQ=WEEKLY;BYDAY=MO")
    second = RingPolicy(name="second", host_pools=("b",), start=RingStart(hours(2), (window,)))

    made = whole({"a": a_pool(outdated=2), "b": a_pool(outdated=2)}, first, second, foretell=True)

    assert made.rings[0].starts == MORNING
    assert made.rings[1].starts == MORNING.replace(day=23, hour=6)  # the Monday after this Friday
    assert made.rings[1].after == (
        "ring first has passed",
        "its soak of 4 hours",
        "somebody's approval (not counted)",
        "2 hours more",
        "its window opens",
    )
    assert all(pool.forecast is not None for pool in made.pools)


def test_without_a_forecast_nobody_knows_when_a_later_ring_starts() -> None:
    rings = [RingPolicy(name=name, host_pools=(name,)) for name in ("a", "b")]
    made = whole({"a": a_pool(outdated=2), "b": a_pool(outdated=2)}, *rings)
    assert [ring.starts for ring in made.rings] == [MORNING, None]


def test_a_ring_with_a_pool_that_would_be_refused_has_no_ring_after_it() -> None:
    rings = [RingPolicy(name=name, host_pools=(name,)) for name in ("a", "b")]
    made = whole({"a": a_pool(pool_type="Personal"), "b": a_pool(outdated=2)}, *rings, foretell=True)
    assert made.rings[1].starts is None
    assert made.pools[1].forecast is None


def test_pools_of_a_ring_that_are_rolled_one_after_the_other_take_as_long_as_all_of_them() -> None:
    pools = {"a": a_pool(outdated=1), "b": a_pool(outdated=1), "c": a_pool(outdated=1)}
    after = RingPolicy(name="last", host_pools=("c",))
    together = whole(pools, RingPolicy(name="first", host_pools=("a", "b")), after, foretell=True)
    in_turn = whole(pools, RingPolicy(name="first", host_pools=("a", "b"), concurrency=1), after, foretell=True)

    starts = [made.rings[1].starts for made in (together, in_turn)]
    assert starts[0] is not None
    assert starts[1] is not None
    assert starts[1] - MORNING == 2 * (starts[0] - MORNING)


def test_a_region_that_the_version_has_not_reached_is_told_and_not_counted() -> None:
    made = whole({"a": a_pool(outdated=2)}, replication=ReplicationPolicy(regions=("northeurope",)))

    assert made.regions["westeurope"] == "ready"
    assert "northeurope" in made.regions["northeurope"]
    assert made.rings[0].after == ("the version has reached northeurope (not counted)",)


def test_too_few_replicas_for_the_largest_wave_are_told() -> None:
    located = [
        structs.replace(host, shape=structs.replace(host.shape, location="westeurope")) for host in hosts_named(30)
    ]
    made = whole({"a": a_pool(located)}, replication=ReplicationPolicy(vms_per_replica=1))
    assert len(made.replicas) == 1
    assert "westeurope" in made.replicas[0]


def test_only_so_many_pools_are_foretold_in_one_plan() -> None:
    pools = {f"pool-{n}": a_pool(outdated=1) for n in range(MOST_FORETOLD + 2)}
    made = whole(pools, foretell=True)
    assert sum(pool.forecast is not None for pool in made.pools) == MOST_FORETOLD


def test_the_first_ring_waits_as_long_as_its_start_rule_says() -> None:
    made = whole({"a": a_pool(outdated=1)}, RingPolicy(name="a", host_pools=("a",), start=RingStart(hours(5))))
    assert made.rings[0].starts == MORNING + timedelta(hours=5)
