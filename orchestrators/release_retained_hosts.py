"""Sees to it that a pool's retained hosts do not outstay their time."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df

from orchestrators.lease import PoolLease
from orchestrators.moment import now_of
from rollout.lease import ROLL_BACK
from rollout.subject import Subject

bp = df.Blueprint()

_story = logging.getLogger("goldroll.story")


@bp.orchestration_trigger(context_name="context")
def release_retained_hosts(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Remove what is over while no rollout works on the pool. Input: `{"pool": name, "pool_id": id}`.

    Output: the activity's answer, or `{"skipped": why}`. A rollout that holds the pool may need them: then the next
    day will do.
    """
    given: dict[str, str] = context.get_input(dict) or {}
    lease = PoolLease(context, given["pool_id"])
    granted = yield from lease.acquire("", ROLL_BACK)
    if granted.verdict != "granted":
        yield from lease.release()
        return {"skipped": granted.message}
    order = {"pool_id": given["pool_id"], "now": now_of(context).isoformat()}
    try:
        answer = yield context.call_activity("remove_retained_hosts", order, dict)
    except Exception:  # not finally: each episode leaves its generator behind, which then may yield no more
        yield from lease.release()
        raise
    yield from lease.release()
    if answer.get("removed") and not context.is_replaying:
        pool, removed = given["pool"], ", ".join(answer["removed"])
        told = "%s: %s removed, kept for a roll back until now"
        _story.info(told, pool, removed, extra=Subject(pool=pool).extra)
    return answer
