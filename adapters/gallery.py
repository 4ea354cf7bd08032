"""Reads image versions from Azure Compute Galleries. Nothing is ever changed there."""

from __future__ import annotations

from adapters.connect import connection
from adapters.errors import StepFailed, is_missing, translated
from adapters.resource_ids import parse
from adapters.wire import Json, at, flag, items, moment, number, tags, text
from rollout.model import ImageVersion, RegionReplica, normalise_region


def read_version(version_id: str) -> ImageVersion | None:
    """An image version with its replication into each region, None when Azure has no such version.

    `version_id` is the id of a gallery image version. Raises StepFailed.
    """
    subscription, group, (gallery, image, version) = parse(version_id)
    try:
        with translated():
            found = (
                connection()
                .compute(subscription)
                .gallery_image_versions.get(group, gallery, image, version, expand="ReplicationStatus")
            )
            return image_version(found.as_dict())
    except StepFailed as failed:
        if is_missing(failed):
            return None
        raise


def list_versions(definition_id: str) -> tuple[ImageVersion, ...]:
    """All versions of an image definition, without their replication; empty when there is no such definition.

    Raises StepFailed.
    """
    subscription, group, (gallery, image) = parse(definition_id)
    try:
        with translated():
            versions = connection().compute(subscription).gallery_image_versions
            return tuple(image_version(v.as_dict()) for v in versions.list_by_gallery_image(group, gallery, image))
    except StepFailed as failed:
        if is_missing(failed):
            return ()
        raise


def image_version(body: Json) -> ImageVersion:
    """An image version from its JSON. Azure writes regions as "West Europe"; they come out as "westeurope"."""
    publishing = at(body, "properties", "publishingProfile")
    return ImageVersion(
        id=text(body, "id"),
        location=normalise_region(text(body, "location")),
        provisioning=text(body, "properties", "provisioningState"),
        exclude_from_latest=flag(publishing, "excludeFromLatest"),
        published_at=moment(publishing, "publishedDate"),
        regions=_regions(body),
        tags=tags(body),
    )


def _regions(body: Json) -> dict[str, RegionReplica]:
    status = {
        normalise_region(text(region, "region")): region
        for region in items(body, "properties", "replicationStatus", "summary")
    }
    targets = items(body, "properties", "publishingProfile", "targetRegions")
    return {
        (name := normalise_region(text(target, "name"))): RegionReplica(
            state=text(status.get(name), "state") or "Unknown",
            progress=number(status.get(name), "progress"),
            replicas=number(target, "regionalReplicaCount") or 1,
            excluded=flag(target, "excludeFromLatest"),
            details=text(status.get(name), "details"),
        )
        for target in targets
    }
