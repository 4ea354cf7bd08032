"""What values of an image's policy must be to each other."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.model import normalise_region
from rollout.policy import ImagePolicy, ReplicationPolicy, SchedulePolicy
from rollout.policy_rules import Conflict


def conflicts_of_image(image: ImagePolicy) -> Iterator[Conflict]:
    """Every conflict in one image's policy. Keys are paths below the image, such as `schedule.recurrence`."""
    if image.schedule is not None:
        yield from _schedule(image.schedule)
    yield from _regions(image.replication)


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
