"""What values of an image's policy must be to each other."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.model import normalise_region, version_number
from rollout.policy import ImagePolicy, ReplicationPolicy, SchedulePolicy
from rollout.policy_rules import Conflict

SOURCES = ("definition_id", "version_id", "marketplace")
"""The keys of which one says what image is rolled out."""


def conflicts_of_image(image: ImagePolicy) -> Iterator[Conflict]:
    """Every conflict in one image's policy. Keys are paths below the image, such as `schedule.recurrence`."""
    yield from _source(image)
    if image.schedule is not None:
        yield from _schedule(image.schedule)
    yield from _regions(image.replication)


def _source(image: ImagePolicy) -> Iterator[Conflict]:
    named = [key for key in SOURCES if getattr(image, key)]
    if not named:
        yield Conflict("definition_id", (), f"is missing: one of {', '.join(SOURCES)} says which image")
    for key in named[1:]:
        yield Conflict(key, (named[0],), f"only one of {', '.join(SOURCES)} can say which image; there is {named[0]}")
    if image.marketplace is None:
        return
    if image.marketplace.version != "latest" and version_number(image.only_version) is None:
        yield Conflict("marketplace.version", (), "expected latest, or a version such as 26100.4061.250506")
    if image.replication.add_regions:
        yield Conflict("replication.add_regions", ("marketplace",), "an image of the marketplace is everywhere already")
    if image.latest == "earned":
        yield Conflict("latest", ("marketplace",), "only its publisher can exclude a marketplace image from latest")
    if image.schedule is not None and image.schedule.min_age:
        yield Conflict(
            "schedule.min_age", ("marketplace",), "Azure does not tell when a version was published in the marketplace"
        )


def _schedule(schedule: SchedulePolicy) -> Iterator[Conflict]:
    if schedule.recurrence and schedule.days_after_patch_tuesday is not None:
        yield Conflict(
            "schedule.recurrence",
            ("schedule.days_after_patch_tuesday",),
            "only one of recurrence and days_after_patch_tuesday can say on which days",
        )
    if not schedule.recurrence and schedule.days_after_patch_tuesday is None:
        yield Conflict(
            "schedule",
            (),
            "does not say on which days: add a recurrence such as FREQ=WEEKLY;BYDAY=MO, or days_after_patch_tuesday",
        )


def _regions(replication: ReplicationPolicy) -> Iterator[Conflict]:
    approved = {normalise_region(region) for region in replication.approved_regions}
    for index, region in enumerate(replication.regions):
        if approved and normalise_region(region) not in approved:
            yield Conflict(
                f"replication.regions.{index}",
                ("replication.approved_regions",),
                f"a version can never be in {region}, which is none of the approved_regions",
            )
