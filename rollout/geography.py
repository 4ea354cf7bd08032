"""Replication geography as a canary: a version is copied to the first ring's regions, to the others once it has passed.

A bad version then never leaves the region in which it was found out, and no copy of it has to be paid for and removed.
Regions are only ever added here. That a version must be in fewer regions is for whoever publishes it to see to: it is
published to the regions of the first ring alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from rollout.assignments import ReplicaOrder
from rollout.model import ImageVersion, normalise_region, short_version
from rollout.policy import ReplicationPolicy


class GeographyStep(Struct, frozen=True):
    """What to ask of Azure now, None when the version is a target of every region that it may be in by now.

    `held_back` are regions that it is not to be in before the first ring has passed: nobody waits for them until then.
    `refused` are needed and outside the approved geography: they are never added. `message` is one sentence.
    """

    order: ReplicaOrder | None
    held_back: tuple[str, ...]
    refused: tuple[str, ...]
    message: str


def regions_to_add(
    version: ImageVersion,
    first_ring: Iterable[str],
    later_rings: Iterable[str],
    policy: ReplicationPolicy,
    *,
    first_ring_has_passed: bool,
) -> GeographyStep:
    """Which regions the version is to be copied to now.

    `first_ring` and `later_rings` are the regions of their host pools; those of the policy itself come with the later
    ones. Each new region gets one replica: see replicas.py for how many it takes in the end. Asking again when the
    regions have been added asks for nothing.
    """
    first = {normalise_region(region) for region in first_ring}
    later = {normalise_region(region) for region in (*later_rings, *policy.regions)} - first
    approved = {normalise_region(region) for region in policy.approved_regions}
    present = set(version.regions)
    wanted = first | later if first_ring_has_passed else first
    refused = tuple(sorted(region for region in wanted - present if approved and region not in approved))
    missing = sorted(wanted - present - set(refused))
    held_back = () if first_ring_has_passed else tuple(sorted(later - present))
    order = ReplicaOrder(version.id, dict.fromkeys(missing, 1)) if missing else None
    return GeographyStep(order, held_back, refused, _sentence(version, missing, held_back, refused))


def _sentence(version: ImageVersion, missing: list[str], held_back: tuple[str, ...], refused: tuple[str, ...]) -> str:
    name = f"version {short_version(version.id)}"
    parts = [
        f"{what} {', '.join(regions)}"
        for what, regions in (
            ("is copied to", missing),
            ("stays out of", held_back),
            ("must not be in", refused),
        )
        if regions
    ]
    until = " until the first ring has passed" if held_back else ""
    return f"{name} {'; '.join(parts)}{until}" if parts else f"{name} is in every region that it has to be in"
