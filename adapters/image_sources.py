"""Reads the versions of an image wherever it comes from: a gallery, or Azure's marketplace."""

from __future__ import annotations

from adapters import gallery, session_hosts
from adapters.platform_images import list_platform_versions
from adapters.resource_ids import parse
from rollout.model import ImageVersion, is_marketplace
from rollout.policy import ImagePolicy


def read_version(version_id: str) -> ImageVersion | None:
    """An image version with its replication into each region, None when Azure has no such version.

    A version of a marketplace image is everywhere, so there is nothing to read of it: whether it exists is seen when
    its versions are listed. Raises StepFailed.
    """
    return ImageVersion(version_id) if is_marketplace(version_id) else gallery.read_version(version_id)


def list_versions(image: ImagePolicy, pool_ids: tuple[str, ...]) -> tuple[ImageVersion, ...]:
    """All versions that the policy's image may mean, without their replication; of one that it names, that one.

    A marketplace is looked into where the first of the host pools is, `pool_ids`; without any, nothing is found.
    Raises StepFailed.
    """
    if image.marketplace is None:
        if not image.only_version:
            return gallery.list_versions(image.definition)
        found = gallery.read_version(image.only_version)
        return () if found is None else (found,)
    if not pool_ids:
        return ()
    location = session_hosts.read_pool(pool_ids[0]).location
    return list_platform_versions(parse(pool_ids[0]).subscription, location, image.marketplace.definition)
