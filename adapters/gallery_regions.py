"""Changes in which regions an image version is, and how many replicas it has in each.

Compute takes the list of target regions as a whole, so it is read right before: regions, encryption and storage that a
change does not name stay as they are. A version has no etag, so what somebody else changes in the very same second is
lost; the publishing profile is sent complete, because whether what is left out of it would stay is not documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.connect import connection
from adapters.errors import translated
from adapters.resource_ids import parse
from adapters.wire import Json, at, flag, items, number, text
from rollout.model import normalise_region

_READ_ONLY = ("publishedDate",)


def set_replicas(version_id: str, replicas: Mapping[str, int], only_if: Mapping[str, int]) -> dict[str, int]:
    """Give the version so many replicas in these regions; returns how many each had before.

    A region that has another number than `only_if` says, or is no target of the version, is left alone: somebody else
    has changed it. Regions that have the number already need no call. Raises StepFailed.
    """
    profile = _read_profile(version_id)
    before: dict[str, int] = {}
    regions: list[Json] = []
    for target in items(profile, "targetRegions"):
        name = normalise_region(text(target, "name"))
        count = number(target, "regionalReplicaCount") or number(profile, "replicaCount") or 1
        if name in replicas and only_if.get(name, count) == count and replicas[name] != count:
            before[name] = count
            regions.append({**target, "regionalReplicaCount": replicas[name]})
        else:
            regions.append(target)
    if before:
        _write_profile(version_id, {**profile, "targetRegions": regions})
    return before


def add_regions(version_id: str, replicas: Mapping[str, int]) -> tuple[str, ...]:
    """Copy the version to these regions as well, with so many replicas each; returns those that it was not in yet.

    They take the storage type of the version's first region, and are excluded from latest there if that one is.
    Raises StepFailed.
    """
    profile = _read_profile(version_id)
    targets = items(profile, "targetRegions")
    present = {normalise_region(text(target, "name")) for target in targets}
    missing = tuple(region for region in replicas if region not in present)
    if missing:
        first: Json = targets[0] if targets else {}
        alike = {"storageAccountType": storage} if (storage := text(first, "storageAccountType")) else {}
        added = [
            {"name": region, "regionalReplicaCount": replicas[region], **alike}
            | ({"excludeFromLatest": True} if flag(first, "excludeFromLatest") else {})
            for region in missing
        ]
        _write_profile(version_id, {**profile, "targetRegions": [*targets, *added]})
    return missing


def _read_profile(version_id: str) -> Json:
    subscription, group, (gallery, image, version) = parse(version_id)
    with translated():
        found = connection().compute(subscription).gallery_image_versions.get(group, gallery, image, version)
        profile = at(found.as_dict(), "properties", "publishingProfile")
    return profile if isinstance(profile, Mapping) else {}


def _write_profile(version_id: str, profile: Json) -> None:
    subscription, group, (gallery, image, version) = parse(version_id)
    kept = {key: value for key, value in profile.items() if key not in _READ_ONLY}
    # The type demands a storage profile; an empty one changes nothing.
    body: Any = {"properties": {"publishingProfile": kept, "storageProfile": {}}}
    with translated():
        versions = connection().compute(subscription).gallery_image_versions
        versions.begin_update(group, gallery, image, version, body, polling=False)
