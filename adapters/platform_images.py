"""Reads images of Azure's marketplace: which versions there are, and whether one has to be bought with a plan."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from adapters.connect import connection
from adapters.errors import StepFailed, is_missing, translated
from adapters.wire import Json, at, text
from rollout.model import ImageVersion, version_number, version_of

READ_AT = datetime.min.replace(tzinfo=UTC)
"""Plans are kept for good: what a version is cannot change."""


def list_platform_versions(subscription: str, location: str, definition: str) -> tuple[ImageVersion, ...]:
    """The versions of publisher:offer:sku that `location` offers; empty when it offers no such image.

    Azure does not tell when one was published. Raises StepFailed.
    """
    publisher, offer, sku = definition.split(":")
    try:
        with translated():
            images = connection().compute(subscription).virtual_machine_images
            names = [text(found.as_dict(), "name") for found in images.list(location, publisher, offer, sku)]
    except StepFailed as failed:
        if is_no_such_image(failed):
            return ()
        raise
    versions = (version_of(definition, name) for name in names)
    return tuple(ImageVersion(version) for version in versions if version_number(version) is not None)


def plan_of(subscription: str, location: str, version_id: str) -> dict[str, str]:
    """The purchase plan that a VM of this version must name, empty when it needs none. Read once for each version.

    Raises StepFailed.
    """
    kept = connection().kept_reads.get(f"plan of {version_id}")
    if kept is not None and isinstance(kept[1], dict):
        return kept[1]
    publisher, offer, sku, version = version_id.split(":")
    with translated():
        images = connection().compute(subscription).virtual_machine_images
        plan = _plan(images.get(location, publisher, offer, sku, version).as_dict())
    connection().kept_reads[f"plan of {version_id}"] = (READ_AT, plan)
    return plan


def is_no_such_image(failed: StepFailed) -> bool:
    """Azure says that the location has no such image: it names what it looked for in the code."""
    return is_missing(failed) or failed.error.code in ("ArtifactNotFound", "ImageNotFound", "PlatformImageNotFound")


def _plan(body: Json) -> dict[str, str]:
    plan: Any = at(body, "properties", "plan")
    return {key: text(plan, key) for key in ("name", "publisher", "product") if text(plan, key)}
