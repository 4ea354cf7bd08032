"""Looks regularly for image versions whose event never arrived."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import azure.durable_functions as df
import azure.functions as func

from adapters.policy_source import PolicyUnusable, policy_problem
from adapters.wire import moment
from rollout.subject import subject_of
from triggers.proposals import missed
from triggers.starting import start_once

bp = df.Blueprint()

_log = logging.getLogger("goldroll.triggers")


@bp.timer_trigger(arg_name="timer", schedule="%GOLDROLL_SWEEP_SCHEDULE%", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def sweep(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """Start what no event has started: for each image its newest version, if it has been published lately.

    While a broken policy is stood in for by the last good one, say so each time: an alert looks for that.
    """
    try:
        proposals = await asyncio.to_thread(missed, moment_of(timer))
    except PolicyUnusable as error:
        _log.error("the sweep cannot use the policy: %s", error)
        return
    if problem := policy_problem():
        _log.warning("the policy still cannot be used: %s", problem)
    for proposal in proposals:
        start = await start_once(client, proposal)
        if start.is_new:
            told, about = "no event has announced %s; the sweep starts %s", subject_of(start.instance_id)
            _log.warning(told, proposal.version_id, start.instance_id, extra=about.extra)


def moment_of(timer: func.TimerRequest) -> datetime:
    """The moment for which the host runs the timer, by the schedule's own clock; the system's where it tells none."""
    status = getattr(timer, "schedule_status", None)  # not in the type that the worker accepts, but in what it passes
    told = [moment(status, key) for key in ("Next", "Last", "LastUpdated")]
    # A schedule that never ran says it did in the year 1.
    known = [at for at in told if at is not None and at.year > 1]
    return max(known, default=datetime.now(UTC))
