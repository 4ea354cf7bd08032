"""Whether a version has enough replicas for all the VMs that a rollout may create at once, and what to do if not.

Azure reads a new VM's disk from one of the version's replicas in the region, and each carries only so many VMs at a
time; more are made more slowly (Microsoft's guidance has moved from 20 to 50, see `vms_per_replica`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from msgspec import Struct, structs

from rollout.model import ImageVersion, count_of, short_version
from rollout.policy import PoolPolicy, hosts_at_a_time

MOST_REPLICAS = 100
"""Replicas of one version, over all regions: Azure's limit."""


class Footprint(Struct, frozen=True):
    """A host pool of the rollout and how many hosts it has in each region."""

    pool: PoolPolicy
    hosts: dict[str, int]

    def vms_at_once(self, region: str) -> int:
        """VMs that this pool's rollout may be creating at the same time in the region."""
        hosts = self.hosts.get(region, 0)
        return min(hosts, hosts_at_a_time(self.pool, sum(self.hosts.values()))) if hosts else 0


class RegionSupply(Struct, frozen=True):
    """A region's replicas against its largest wave of `vms`; `wanted` replicas would carry it."""

    region: str
    replicas: int
    wanted: int
    vms: int

    @property
    def is_short(self) -> bool:
        """More VMs may be created at once than the replicas carry."""
        return self.wanted > self.replicas


def largest_wave(together: Iterable[Footprint], pools_at_once: int | None = None) -> dict[str, int]:
    """For each region how many VMs these pools may create at once, of which no more than so many run together."""
    vms: dict[str, list[int]] = {}
    for footprint in together:
        for region in footprint.hosts:
            vms.setdefault(region, []).append(footprint.vms_at_once(region))
    return {region: sum(sorted(counts, reverse=True)[:pools_at_once]) for region, counts in sorted(vms.items())}


def supply(version: ImageVersion, wave: Mapping[str, int], vms_per_replica: int) -> tuple[RegionSupply, ...]:
    """Each region of the wave that the version is a target of, and how many replicas it wants there."""
    return tuple(
        RegionSupply(region, version.regions[region].replicas, math.ceil(vms / vms_per_replica), vms)
        for region, vms in wave.items()
        if region in version.regions and vms
    )


def raised(version: ImageVersion, supplies: Iterable[RegionSupply]) -> dict[str, int]:
    """The number of replicas to ask for in each region that is short: what it wants, as far as Azure's limit allows.

    When it does not allow all, the regions that are shortest get one more replica at a time.
    """
    short = {one.region: one for one in supplies if one.is_short}
    counts = {region: one.replicas for region, one in short.items()}
    left = MOST_REPLICAS - sum(replica.replicas for replica in version.regions.values())
    for _ in range(max(0, left)):
        open_ones = [region for region in counts if counts[region] < short[region].wanted]
        if not open_ones:
            break
        counts[max(open_ones, key=lambda region: short[region].vms / counts[region])] += 1
    return {region: count for region, count in counts.items() if count > short[region].replicas}


def after(supplies: Iterable[RegionSupply], counts: Mapping[str, int]) -> tuple[RegionSupply, ...]:
    """The supplies once these regions have so many replicas."""
    return tuple(structs.replace(one, replicas=counts.get(one.region, one.replicas)) for one in supplies)


def shortages(version: ImageVersion, supplies: Iterable[RegionSupply], vms_per_replica: int) -> tuple[str, ...]:
    """One sentence for each region that is short."""
    return tuple(
        f"{one.region} has {count_of(one.replicas, 'replica')} of version {short_version(version.id)}, enough for "
        f"{one.replicas * vms_per_replica} VMs at once, and {one.vms} may be made at once: {one.wanted} are wanted"
        for one in supplies
        if one.is_short
    )


def limited(footprint: Footprint, supplies: Iterable[RegionSupply], vms_per_replica: int) -> PoolPolicy:
    """The pool's policy with `max_creating` lowered to its share of what the replicas of its regions carry.

    Pools that run together share a region in proportion to what each may create there, at least one VM each. The
    policy itself where the replicas are enough.
    """
    shares = [
        max(1, one.replicas * vms_per_replica * footprint.vms_at_once(one.region) // one.vms)
        for one in supplies
        if one.is_short and footprint.vms_at_once(one.region)
    ]
    if not shares or min(shares) >= hosts_at_a_time(footprint.pool, sum(footprint.hosts.values())):
        return footprint.pool
    return structs.replace(footprint.pool, max_creating=min(shares))
