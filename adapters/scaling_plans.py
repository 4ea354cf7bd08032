"""The scaling plan of a host pool: what autoscale does to it now and next."""

from __future__ import annotations

import logging
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from adapters import resource_ids
from adapters.connect import Connection, connection
from adapters.errors import StepFailed
from adapters.reads import pages
from adapters.session_hosts import API_VERSION
from adapters.wire import Json, at, flag, items, text, texts
from rollout.model import ScalingPlan
from rollout.scaling import ScalingSchedule, scaling_plan

_log = logging.getLogger("goldroll.adapters")

READ_AGAIN = timedelta(minutes=30)
"""A plan changes a few times a year, and a turn comes every minute: read so rarely it is no part of the ARM budget."""


class _Known(NamedTuple):
    """What was read of a pool's plan, also when it was nothing; `failed` is whether the last read did."""

    read_at: datetime
    plan: Json | None
    failed: bool = False


_known: WeakKeyDictionary[Connection, dict[str, _Known]] = WeakKeyDictionary()


def read_scaling(pool_id: str, now: datetime) -> ScalingPlan | None:
    """The pool's scaling plan as it acts at `now`; None when it has none or that cannot be told.

    Never raises StepFailed: a rollout goes on without, and the log says once for each pool what is missing. What was
    read before holds until it can be read again. Reads at most once in READ_AGAIN for each pool and process.
    """
    known = _known.setdefault(connection(), {})
    last = known.get(pool_id.lower())
    if last is None or not timedelta(0) <= now - last.read_at < READ_AGAIN:
        last = known[pool_id.lower()] = _read(pool_id, now, last)
    return None if last.plan is None else as_it_acts(last.plan, pool_id, now)


def _read(pool_id: str, now: datetime, last: _Known | None) -> _Known:
    try:
        plans = list(pages(f"{pool_id}/scalingPlans", API_VERSION))
    except StepFailed as failed:
        if last is None or not last.failed:
            _log.warning("the scaling plan of %s cannot be read, the rollout goes on without: %s", pool_id, failed)
        return _Known(now, last.plan if last else None, failed=True)
    # Azure lets a pool have one plan. Should there be several, the one that is enabled is the one that acts.
    plans.sort(key=lambda plan: not _is_enabled(plan, pool_id))
    return _Known(now, plans[0] if plans else None)


# ------------------------------------------------------------------------------------------------- reading the bodies


def as_it_acts(body: Json, pool_id: str, now: datetime) -> ScalingPlan:
    """The plan that this JSON shows, as it acts on the pool at `now`."""
    return scaling_plan(
        resource_ids.last(text(body, "name") or text(body, "id")),
        enabled=_is_enabled(body, pool_id),
        exclusion_tag=text(body, "properties", "exclusionTag"),
        zone=iana_zone(text(body, "properties", "timeZone")),
        schedules=[_schedule(one) for one in items(body, "properties", "schedules")],
        now=now,
    )


def _is_enabled(body: Json, pool_id: str) -> bool:
    return any(
        flag(reference, "scalingPlanEnabled") and resource_ids.same(text(reference, "hostPoolArmPath"), pool_id)
        for reference in items(body, "properties", "hostPoolReferences")
    )


def iana_zone(name: str) -> str:
    """The IANA name of a Windows time zone, which is what scaling plans have; any other name as it is."""
    from tzlocal.windows_tz import win_tz

    return win_tz.get(name, name)


def _schedule(body: Json) -> ScalingSchedule:
    return ScalingSchedule(
        days=tuple(texts(body, "daysOfWeek")),
        ramp_up=_time_of_day(at(body, "rampUpStartTime")),
        peak=_time_of_day(at(body, "peakStartTime")),
        ramp_down=_time_of_day(at(body, "rampDownStartTime")),
        off_peak=_time_of_day(at(body, "offPeakStartTime")),
        ramp_up_minimum=_whole(at(body, "rampUpMinimumHostsPct")),
        ramp_down_minimum=_whole(at(body, "rampDownMinimumHostsPct")),
    )


def _time_of_day(body: Any) -> time | None:
    hour, minute = _whole(at(body, "hour")), _whole(at(body, "minute"))
    if hour is None or minute is None or not (0 <= hour < 24 and 0 <= minute < 60):
        return None
    return time(hour, minute)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
