"""Once a day the retained hosts whose time is over are removed."""

from __future__ import annotations

import asyncio
import logging

import azure.durable_functions as df
import azure.functions as func

from adapters.policy_source import PolicyUnusable, current_policy
from rollout.instance_ids import host_pool_key
from triggers.starting import has_ended

bp = df.Blueprint()

ORCHESTRATION = "release_retained_hosts"

_log = logging.getLogger("goldroll.triggers")


@bp.timer_trigger(arg_name="timer", schedule="%GOLDROLL_RETIREMENT_SCHEDULE%", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def release_retained(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Start a run for each host pool of the policy, also for those that keep nothing any more: some may be left."""
    try:
        policy = await asyncio.to_thread(current_policy)
    except PolicyUnusable as error:
        _log.error("no retained host is removed, the policy cannot be used: %s", error)
        return
    for pool in policy.host_pools:
        id = f"retained-{host_pool_key(pool.host_pool_id)}"
        status = await client.get_status(id)
        if not status or has_ended(status):
            await client.start_new(ORCHESTRATION, id, {"pool": pool.name, "pool_id": pool.host_pool_id})
