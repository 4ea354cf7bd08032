"""Says regularly in the log how each rollout that runs stands: alerts look for that. Nothing runs, nothing is said."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import azure.durable_functions as df
import azure.functions as func

from adapters.instances import list_instances
from rollout.instance_ids import IMAGE_PREFIXES, ROLL_BACK_IMAGE, ROLL_HOST_POOL, ROLL_OUT_IMAGE
from rollout.subject import subject_of
from rollout.watching import Standing, Watched, watch_line
from triggers.schedules import moment_of

bp = df.Blueprint()

PAGE, MOST_PAGES = 100, 20
"""Instances that are asked for at once, and how often of rollouts, and of roll backs: 2,000 of each are watched."""

_OF_ROLLOUTS = (ROLL_OUT_IMAGE, ROLL_BACK_IMAGE, ROLL_HOST_POOL)

_Status = df.OrchestrationRuntimeStatus
_UNDER_WAY = (_Status.Running, _Status.Pending, _Status.Suspended, _Status.ContinuedAsNew)

_log = logging.getLogger("goldroll.watch")


@bp.timer_trigger(arg_name="timer", schedule="%GOLDROLL_SWEEP_SCHEDULE%", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def watch_rollouts(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """One line for each rollout that runs and each of its host pools that does.

    Fails when Durable cannot list them, so that it is seen.
    """
    now = moment_of(timer)
    async for watched in _running(client):
        line = watch_line(watched, now)
        level = logging.INFO if line.standing is Standing.GOES_ON else logging.WARNING
        _log.log(level, "%s", line.text, extra=subject_of(watched.id).extra)


async def _running(client: df.DurableOrchestrationClient) -> AsyncIterator[Watched]:
    for prefix in IMAGE_PREFIXES:
        token = ""
        for _ in range(MOST_PAGES):
            page = await list_instances(client, prefix, PAGE, token, statuses=_UNDER_WAY)
            for one in page.statuses:
                if one.name in _OF_ROLLOUTS:
                    id, is_pool = one.instance_id or "", one.name == ROLL_HOST_POOL
                    yield Watched(id, is_pool, one.custom_status, one.created_time, one.last_updated_time)
            token = page.token
            if not token:
                break
        else:
            most = PAGE * MOST_PAGES
            _log.warning("there are too many rollouts to watch them all: those after the first %d are left out", most)
