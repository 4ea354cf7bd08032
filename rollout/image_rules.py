"""What values of an image's policy must be to each other."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.policy import ImagePolicy, SchedulePolicy
from rollout.policy_rules import Conflict


def conflicts_of_image(image: ImagePolicy) -> Iterator[Conflict]:
    """Every conflict in one image's policy. Keys are paths below the image, such as `schedule.recurrence`."""
    if image.schedule is not None:
        yield from _schedule(image.schedule)


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
