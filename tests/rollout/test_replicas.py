"""Replicas: how many the largest wave wants, what is asked for, and what is done with too few."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rollout.model import ImageVersion, RegionReplica
from rollout.policy import hosts_at_a_time
from rollout.replicas import (
    MOST_REPLICAS,
    Footprint,
    after,
    largest_wave,
    limited,
    raised,
    shortages,
    supply,
)
from tests.rollout.builders import a_policy, version_id

WIDE = {"surge": "100%", "max_creating": 200}


def a_footprint(name: str = "office", policy: dict[str, Any] | None = None, **hosts: int) -> Footprint:
    return Footprint(a_policy(name=name, **(WIDE if policy is None else policy)), hosts)


def a_version(**replicas: int) -> ImageVersion:
    regions = {region: RegionReplica("Completed", 100, count) for region, count in replicas.items()}
    return ImageVersion(version_id("2.0.0"), regions=regions)


# ------------------------------------------------------------------------------------------------- the largest wave


@pytest.mark.parametrize(
    ("policy", "hosts", "vms"),
    [
        ({"surge": "100%", "max_creating": 200}, 200, 200),
        ({"surge": "100%"}, 200, 20),  # max_creating is 20
        ({"surge": "5%"}, 200, 10),
        ({"surge": "5%", "max_unavailable": "10%"}, 200, 30 - 10),  # again max_creating
        ({"surge": "5%", "max_unavailable": "10%", "max_creating": 100}, 200, 30),
        ({"strategy": "in_place"}, 200, 1),
        ({"strategy": "in_place", "max_unavailable": 8}, 200, 8),
        ({"surge": "100%", "max_creating": 200}, 3, 3),
        ({}, 0, 0),
    ],
)
def test_a_pool_creates_as_many_vms_at_once_as_its_policy_allows(policy: dict[str, Any], hosts: int, vms: int) -> None:
    assert largest_wave([a_footprint(policy=policy, westeurope=hosts)]) == {"westeurope": vms}


def test_pools_that_run_together_share_their_region() -> None:
    pools = [a_footprint("a", westeurope=100), a_footprint("b", westeurope=60, northeurope=10)]
    assert largest_wave(pools) == {"northeurope": 10, "westeurope": 160}


def test_of_pools_that_do_not_all_run_together_the_largest_count() -> None:
    pools = [a_footprint("a", westeurope=30), a_footprint("b", westeurope=60), a_footprint("c", westeurope=40)]
    assert largest_wave(pools, pools_at_once=2) == {"westeurope": 100}


# --------------------------------------------------------------------------------------------------- what is wanted


def test_two_hundred_hosts_at_once_want_ten_replicas() -> None:
    version = a_version(uksouth=2)
    supplies = supply(version, {"uksouth": 200}, 20)

    assert (supplies[0].replicas, supplies[0].wanted, supplies[0].is_short) == (2, 10, True)
    assert raised(version, supplies) == {"uksouth": 10}
    (sentence,) = shortages(version, supplies, 20)
    assert sentence.startswith("uksouth has 2 replicas of version 2.0.0, enough for 40 VMs at once, and 200 may be")
    assert sentence.endswith("10 are wanted")


@pytest.mark.parametrize(("vms", "wanted"), [(1, 1), (20, 1), (21, 2), (40, 2)])
def test_replicas_are_rounded_up(vms: int, wanted: int) -> None:
    assert supply(a_version(uksouth=1), {"uksouth": vms}, 20)[0].wanted == wanted


def test_enough_replicas_are_left_as_they_are() -> None:
    version = a_version(uksouth=10, westeurope=3)
    supplies = supply(version, {"uksouth": 200, "westeurope": 20}, 20)

    assert raised(version, supplies) == {}
    assert shortages(version, supplies, 20) == ()


def test_a_region_that_the_version_is_not_in_is_the_replications_affair() -> None:
    assert supply(a_version(uksouth=1), {"westeurope": 50}, 20) == ()


def test_no_more_are_asked_for_than_azure_allows_and_the_shortest_region_comes_first() -> None:
    version = a_version(uksouth=2, westeurope=2, japaneast=50)
    supplies = supply(version, {"uksouth": 1000, "westeurope": 400}, 20)

    counts = raised(version, supplies)

    assert sum(counts.values()) + 50 == MOST_REPLICAS
    assert counts == {"uksouth": 36, "westeurope": 14}
    assert len(shortages(version, after(supplies, counts), 20)) == 2


def test_a_version_at_azures_limit_is_not_raised() -> None:
    version = a_version(uksouth=2, japaneast=98)
    assert raised(version, supply(version, {"uksouth": 1000}, 20)) == {}


# -------------------------------------------------------------------------------------------------- with too few


def test_with_too_few_replicas_fewer_vms_are_made_at_once() -> None:
    pool = a_footprint(uksouth=200)
    supplies = supply(a_version(uksouth=2), largest_wave([pool]), 20)

    assert limited(pool, supplies, 20) == structs.replace(pool.pool, max_creating=40)


def test_pools_that_run_together_share_the_replicas_by_their_size() -> None:
    large, small = a_footprint("large", uksouth=150), a_footprint("small", uksouth=50)
    supplies = supply(a_version(uksouth=2), largest_wave([large, small]), 20)

    assert [limited(pool, supplies, 20).max_creating for pool in (large, small)] == [30, 10]


def test_every_pool_makes_at_least_one_host() -> None:
    pools = [a_footprint(f"p{n}", uksouth=2) for n in range(50)]
    supplies = supply(a_version(uksouth=1), largest_wave(pools), 20)

    assert {limited(pool, supplies, 20).max_creating for pool in pools} == {1}


def test_where_the_replicas_are_enough_the_policy_stays_as_it_is() -> None:
    here, there = a_footprint("here", uksouth=200), a_footprint("there", westeurope=10)
    supplies = supply(a_version(uksouth=2, westeurope=1), largest_wave([here, there]), 20)

    assert limited(there, supplies, 20) is there.pool
    assert limited(here, after(supplies, {"uksouth": 10}), 20) is here.pool


@given(
    sizes=st.lists(st.integers(min_value=0, max_value=400), min_size=1, max_size=6),
    creating=st.integers(min_value=1, max_value=300),
    replicas=st.integers(min_value=1, max_value=20),
    per_replica=st.integers(min_value=1, max_value=60),
)
def test_limited_pools_together_stay_within_the_replicas_and_none_is_stopped(
    sizes: list[int], creating: int, replicas: int, per_replica: int
) -> None:
    policy = {"surge": "100%", "max_creating": creating}
    pools = [a_footprint(f"p{index}", policy, uksouth=size) for index, size in enumerate(sizes)]
    version = a_version(uksouth=replicas)
    supplies = supply(version, largest_wave(pools), per_replica)
    at_once = [hosts_at_a_time(limited(pool, supplies, per_replica), pool.hosts["uksouth"]) for pool in pools]

    assert all(count >= 1 for count in at_once)
    assert sum(count for count in at_once if count > 1) <= replicas * per_replica or at_once == [
        hosts_at_a_time(pool.pool, pool.hosts["uksouth"]) for pool in pools
    ]
