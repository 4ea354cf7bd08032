"""Image versions, their users and retention policies for tests of retention, and what Azure does with its steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from rollout.model import ImageVersion, RegionReplica, short_version
from rollout.policy import RetentionPolicy
from rollout.retention import (
    ChangeVersion,
    RetentionPlan,
    RetentionSnapshot,
    RetentionStep,
    VersionPlan,
    VersionUsers,
    as_retired,
    plan_retention,
)
from rollout.verdicts import VERDICT_REASON_TAG, VERDICT_TAG
from tests.rollout.builders import version_id

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)
DEFINITION = version_id("1.0.0").rpartition("/versions/")[0]


def a_version(
    number: str,
    verdict: str = "good",
    *,
    days: float = 200,
    excluded: bool = False,
    end_of_life: float | None = None,
    regions: tuple[str, ...] = ("westeurope",),
    because: str = "",
    marked: float | None = None,
    **fields: Any,
) -> ImageVersion:
    """A version published `days` ago; `end_of_life` is in so many days. `verdict` "" is none.

    One that is excluded and has an end of life was marked as retired `marked` (100) days ago.
    """
    tags = {VERDICT_TAG: verdict} if verdict else {}
    if marked is None and excluded and end_of_life is not None:
        marked = 100
    if marked:
        tags = as_retired(tags, NOW - timedelta(days=marked))
    return ImageVersion(
        **{
            "id": version_id(number),
            "location": "westeurope",
            "published_at": NOW - timedelta(days=days),
            "exclude_from_latest": excluded,
            "end_of_life": None if end_of_life is None else NOW + timedelta(days=end_of_life),
            "regions": {region: RegionReplica() for region in regions},
            "tags": tags | ({VERDICT_REASON_TAG: because} if because else {}),
            **fields,
        }
    )


def good_versions(*numbers: str) -> tuple[ImageVersion, ...]:
    """Good versions with these numbers, the others' defaults."""
    return tuple(a_version(number) for number in numbers)


def a_snapshot(*versions: ImageVersion, used: dict[str, int] | None = None, **fields: Any) -> RetentionSnapshot:
    """These versions, so many VMs on each."""
    fields.setdefault("users", {number: VersionUsers(machines=count) for number, count in (used or {}).items()})
    return RetentionSnapshot(DEFINITION, NOW, versions, **fields)


def planned(*versions: ImageVersion, policy: RetentionPolicy | None = None, **fields: Any) -> RetentionPlan:
    """The plan for these versions."""
    return plan_retention(a_snapshot(*versions, **fields), policy or RetentionPolicy(), NOW)


def of(plan: RetentionPlan, number: str) -> VersionPlan:
    """What the plan says of a version that is in it."""
    found = plan.of(number)
    assert found is not None
    return found


def after(snapshot: RetentionSnapshot, steps: tuple[RetentionStep, ...]) -> RetentionSnapshot:
    """The versions when Azure has carried the steps out."""
    by_number = {step.version: step for step in steps}
    left = []
    for version in snapshot.versions:
        step = by_number.get(short_version(version.id))
        if step is None:
            left.append(version)
        elif isinstance(step, ChangeVersion):
            left.append(
                structs.replace(
                    version,
                    exclude_from_latest=version.exclude_from_latest or step.exclude,
                    end_of_life=step.end_of_life or version.end_of_life,
                    regions={name: r for name, r in version.regions.items() if name not in step.drop_regions},
                    tags=as_retired(version.tags, step.retired_at) if step.retired_at else version.tags,
                )
            )
    return structs.replace(snapshot, versions=tuple(left))
