"""Compares where image versions are with where they have to be: missing, surplus, outside the approved geography."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from rollout.model import ImageVersion, normalise_region, short_version, version_number
from rollout.policy import ReplicationPolicy

POLICY = "the policy"
"""Who requires a region that no host pool is in."""


class VersionRegions(Struct, frozen=True):
    """One version: its replicas by region, what is wrong with them, and one sentence that says so.

    `missing` regions are required and none of its targets; `surplus` ones are targets that nothing requires, its home
    region excepted, which Azure does not let go; `unapproved` ones are targets outside the approved geography.
    """

    version: str
    published_at: datetime | None
    excluded: bool
    replicas: dict[str, int]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    unapproved: tuple[str, ...]
    message: str


def required_regions(pools: Mapping[str, Iterable[str]], policy: ReplicationPolicy) -> dict[str, tuple[str, ...]]:
    """Each required region and who requires it: host pools (name -> the regions it is in) and the policy itself."""
    required: dict[str, list[str]] = {}
    for pool, regions in pools.items():
        for region in regions:
            required.setdefault(normalise_region(region), []).append(pool)
    for region in policy.regions:
        required.setdefault(normalise_region(region), []).append(POLICY)
    return {region: tuple(required[region]) for region in sorted(required)}


def compare(
    versions: Iterable[ImageVersion], required: Iterable[str], approved: Iterable[str]
) -> tuple[VersionRegions, ...]:
    """Every version against the required regions, the newest first. No approved regions approve of all."""
    needed, allowed = set(required), {normalise_region(region) for region in approved}
    newest_first = sorted(versions, key=lambda version: version_number(version.id) or (0, 0, 0), reverse=True)
    return tuple(_compare_one(version, needed, allowed) for version in newest_first)


def _compare_one(version: ImageVersion, required: set[str], approved: set[str]) -> VersionRegions:
    present = set(version.regions)
    missing = tuple(sorted(required - present))
    surplus = tuple(sorted(present - required - {version.location}))
    unapproved = tuple(sorted(present - approved)) if approved else ()
    parts = [
        f"{what} {', '.join(regions)}"
        for what, regions in (
            ("is missing in", missing),
            ("is not needed in", surplus),
            ("is outside the approved regions in", unapproved),
        )
        if regions
    ]
    number = short_version(version.id)
    return VersionRegions(
        version=number,
        published_at=version.published_at,
        excluded=version.exclude_from_latest,
        replicas={region: version.regions[region].replicas for region in sorted(present)},
        missing=missing,
        surplus=surplus,
        unapproved=unapproved,
        message=f"{number} {'; '.join(parts)}" if parts else f"{number} is where it has to be",
    )
