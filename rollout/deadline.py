"""When a rollout shall be over, from the policy's `finish_within` or `finish_by`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rollout.policy import PoolPolicy
from rollout.windows import read_start, read_zone

LEAST_NOTICE = timedelta(hours=12)
"""A rollout that starts at 05:00 and shall finish by 06:00 has until the 06:00 of the next day."""


def finish_at(policy: PoolPolicy, started_at: datetime) -> datetime | None:
    """When a rollout that started at `started_at` (aware) shall be over, in UTC; None when the policy does not say.

    `finish_by` is the first such time on the wall in `policy.zone` at least LEAST_NOTICE after the start. One that a
    change of the clocks skips is taken as much later (02:30 becomes 03:30); one that comes twice is the first. Raises
    UnreadableWindow when the zone or the time of day cannot be read, which no policy of policy_file.py holds.
    """
    if policy.finish_within is not None:
        return (started_at + policy.finish_within).astimezone(UTC)
    if not policy.finish_by:
        return None
    zone, time_of_day = read_zone(policy.zone), read_start(policy.finish_by)
    earliest = started_at.astimezone(UTC) + LEAST_NOTICE
    day = earliest.astimezone(zone).date()
    # Today's may be over already; a skipped one comes later on the wall than it says, so yesterday's may be to come.
    moments = (
        datetime.combine(day + timedelta(days=offset), time_of_day, zone).astimezone(UTC) for offset in (-1, 0, 1, 2)
    )
    return next(moment for moment in moments if moment >= earliest)
