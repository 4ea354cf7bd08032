"""Host pools as people look at them: read from Azure once for everybody who looks within half a minute.

Whoever watches a rollout must cost it next to nothing: the lists of a look come out of the budget of calls that the
rollout's own turns live on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from adapters.connect import connection
from adapters.pool_reader import observe
from adapters.settings import read_settings
from rollout.model import PoolSnapshot
from rollout.policy import PoolPolicy

_reading: dict[str, Lock] = {}


def picture_of(policy: PoolPolicy, rollout_id: str, now: datetime) -> PoolSnapshot:
    """The pool as Azure showed it at most `kept_for()` before `now`, without the image version.

    While one caller reads, others get the picture before it, if there is one. Raises StepFailed.
    """
    pool_id = policy.host_pool_id.lower()
    if (kept := _kept(pool_id, now, kept_for())) is not None:
        return kept
    lock = _reading.setdefault(pool_id, Lock())
    if not lock.acquire(blocking=False):
        if (older := _kept(pool_id, now, 4 * kept_for())) is not None:
            return older
        lock.acquire()
    try:
        if (kept := _kept(pool_id, now, kept_for())) is not None:
            return kept  # somebody else has read it while this caller waited
        found = observe(policy.host_pool_id, "", policy, rollout_id, (), now, fresh_sessions=False)
        connection().kept_pictures[pool_id] = found
        return found
    finally:
        lock.release()


def kept_for() -> timedelta:
    """How long a picture serves whoever looks: the setting GOLDROLL_VIEW_SECONDS."""
    return timedelta(seconds=read_settings().view_seconds)


def _kept(pool_id: str, now: datetime, how_long: timedelta) -> PoolSnapshot | None:
    kept = connection().kept_pictures.get(pool_id)
    return kept if kept is not None and timedelta(0) <= now - kept.observed_at < how_long else None
