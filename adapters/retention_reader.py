"""Takes the picture of an image definition that retention decides on: its versions, and who uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from adapters import image_users
from adapters.gallery import list_versions
from adapters.reads import read
from adapters.wire import Json, flag, number, text
from rollout.retention import RetentionSnapshot

API_VERSION = "2026-03-03"
"""The first version in which a gallery tells how long it keeps what was deleted."""

DAYS_OF_SOFT_DELETE = 7
"""How long a gallery with soft delete keeps what was deleted when it does not say."""


def observe_versions(
    definition_id: str,
    subscriptions: Iterable[str],
    running: Mapping[str, str],
    unreadable: Iterable[str],
    now: datetime,
) -> RetentionSnapshot:
    """The versions of an image definition as Azure shows them at `now`.

    `running` and `unreadable` are what Durable has told of rollouts that are under way, see RetentionSnapshot. What is
    not known of the versions' users is in the snapshot. Raises StepFailed when the gallery or its versions cannot be
    read.
    """
    gallery = read(definition_id.rstrip("/").rpartition("/images/")[0], API_VERSION)
    # Who uses a version is read after the versions: one that is published in between is not in the plan at all.
    versions = list_versions(definition_id)
    found = image_users.find_users(image_users.names_of(definition_id, gallery), subscriptions)
    return RetentionSnapshot(
        definition_id=definition_id,
        observed_at=now,
        versions=versions,
        users=found.users,
        followers=found.followers,
        running=dict(running),
        unreadable=(*unreadable, *found.unreadable),
        restorable_days=_restorable_days(gallery),
        shared=text(gallery, "properties", "sharingProfile", "permissions") not in ("", "Private"),
    )


def _restorable_days(gallery: Json) -> int:
    if not flag(gallery, "properties", "softDeletePolicy", "isSoftDeleteEnabled"):
        return 0
    return number(gallery, "properties", "softDeletePolicy", "retentionPeriodInDays") or DAYS_OF_SOFT_DELETE
