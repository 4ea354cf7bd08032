"""Changes image versions in Azure Compute Galleries: mark, excluded from latest, end of life, regions; deletes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from adapters.connect import connection
from adapters.errors import StepFailed, is_missing, translated
from adapters.resource_ids import parse
from adapters.wire import Json, flag, items, moment, tags, text
from rollout.model import normalise_region
from rollout.retention import as_retired
from rollout.retention import retired_at as marked_at


def change_version(
    version_id: str,
    *,
    retired_at: datetime | None = None,
    exclude: bool | None = None,
    end_of_life: datetime | None = None,
    drop_regions: tuple[str, ...] = (),
) -> None:
    """Begin to change a version; what is left out, and every other property, stays as it is.

    Azure replaces tags and the list of regions as a whole, so they are read right before; the home region is never
    dropped, and a version that is marked as retired keeps the time it was marked at. When all is so already there is
    no second call. Raises StepFailed, with code ResourceNotFound when there is no such version.
    """
    subscription, group, (gallery, image, version) = parse(version_id)
    with translated():
        versions = connection().compute(subscription).gallery_image_versions
        body = versions.get(group, gallery, image, version).as_dict()
    profile = _changed_profile(body, exclude, end_of_life, drop_regions)
    change: Any = {"properties": {"publishingProfile": profile}} if profile else {}
    if retired_at is not None and marked_at(tags(body)) is None:
        change["tags"] = as_retired(tags(body), retired_at)
    if not change:
        return
    with translated():
        versions.begin_update(group, gallery, image, version, change, polling=False)


def delete_version(version_id: str) -> None:
    """Begin to delete a version; where the gallery has soft delete it can be restored. Gone already is fine.

    Raises StepFailed.
    """
    subscription, group, (gallery, image, version) = parse(version_id)
    try:
        with translated():
            connection().compute(subscription).gallery_image_versions.begin_delete(
                group, gallery, image, version, polling=False
            )
    except StepFailed as failed:
        if not is_missing(failed):
            raise


def _changed_profile(
    body: Json, exclude: bool | None, end_of_life: datetime | None, drop_regions: tuple[str, ...]
) -> dict[str, Any]:
    """The parts of the publishing profile that differ from what is wanted."""
    before = body.get("properties", {}).get("publishingProfile", {})
    changed: dict[str, Any] = {}
    if exclude is not None and flag(before, "excludeFromLatest") != exclude:
        changed["excludeFromLatest"] = exclude
    if end_of_life is not None and moment(before, "endOfLifeDate") != end_of_life:
        changed["endOfLifeDate"] = end_of_life.astimezone(UTC).isoformat().replace("+00:00", "Z")
    dropped = set(drop_regions) - {normalise_region(text(body, "location"))}
    targets = items(before, "targetRegions")
    kept = [target for target in targets if normalise_region(text(target, "name")) not in dropped]
    if len(kept) < len(targets):
        changed["targetRegions"] = [dict(target) for target in kept]
    return changed
