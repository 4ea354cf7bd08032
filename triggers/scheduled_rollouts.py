"""Starts the rollouts of images that have a schedule.

What has been settled is remembered in one small entity for each image, which only a timer writes. A look that is cut
off before it has written is taken again: the run then takes the same version, whose rollout never starts twice.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

import azure.durable_functions as df
import azure.functions as func
import msgspec

from adapters.errors import StepFailed
from adapters.policy_source import PolicyUnusable, current_policy
from rollout.instance_ids import image_key
from rollout.model import short_version
from rollout.policy import ImagePolicy, Policy, SchedulePolicy
from rollout.schedules import ScheduleMemory, begun, due, memory_of, next_occurrences, spoken, wall_time
from triggers.proposals import NotProposed, scheduled
from triggers.schedules import moment_of
from triggers.starting import start_once

bp = df.Blueprint()

ENTITY = "image_schedule"

_log = logging.getLogger("goldroll.triggers")


@bp.timer_trigger(arg_name="timer", schedule="%GOLDROLL_SWEEP_SCHEDULE%", run_on_startup=False)
@bp.durable_client_input(client_name="client")
async def start_scheduled(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    """For each image with a schedule: start what is due, or say why nothing is started.

    One image holds up no other. What goes wrong with Durable itself fails the function when all have had their turn,
    so that it is seen; the next look tries again, as nothing has been settled.
    """
    try:
        policy = await asyncio.to_thread(current_policy)
    except PolicyUnusable as error:
        _log.error("the schedules cannot use the policy: %s", error)
        return
    now, failures = moment_of(timer), list[Exception]()
    for image in policy.images:
        if image.schedule is not None:
            try:
                await _look_at(client, policy, image, image.schedule, now)
            except Exception as failure:  # noqa: BLE001 - Durable's client raises nothing but Exception
                failures.append(failure)
    if failures:
        raise ExceptionGroup("schedules could not be looked at", failures)


async def remembered(client: df.DurableOrchestrationClient, image_name: str) -> ScheduleMemory:
    """What is remembered of the schedule of the image of this name."""
    answer = await client.read_entity_state(_entity_of(image_name))
    return memory_of(answer.entity_state if answer.entity_exists else None)


async def _look_at(
    client: df.DurableOrchestrationClient, policy: Policy, image: ImagePolicy, schedule: SchedulePolicy, now: datetime
) -> None:
    stored = await remembered(client, image.name)
    memory = begun(stored, schedule, now)
    if memory != stored:
        await _tell(client, image, "begin", {"schedule": schedule, "now": now})
        upcoming = ", ".join(wall_time(schedule, moment) for moment in next_occurrences(schedule, now, 1))
        _log.info("%s: the schedule is %s; the first run is %s", image.name, spoken(schedule), upcoming)
        return
    run = due(schedule, memory, now)
    if run.occurrence is None:
        return
    outcome = run.reason
    if run.run:
        try:
            outcome += f": {await _start(client, policy, image, schedule, run.occurrence)}"
        except StepFailed as failed:
            _log.warning("%s: %s, but the versions cannot be listed: %s", image.name, run.reason, failed)
            return  # nothing is settled: the next look tries again
    _log.info("%s: %s", image.name, outcome)
    settled = {"schedule": schedule, "now": now, "occurrence": run.occurrence, "outcome": outcome}
    await _tell(client, image, "settle", settled)


async def _start(
    client: df.DurableOrchestrationClient,
    policy: Policy,
    image: ImagePolicy,
    schedule: SchedulePolicy,
    occurrence: datetime,
) -> str:
    """Start the run's rollout; what came of it, as the end of a sentence."""
    proposal = await asyncio.to_thread(scheduled, policy, image, schedule.min_age, occurrence)
    if isinstance(proposal, NotProposed):
        return proposal.why
    start = await start_once(client, proposal)
    number = short_version(proposal.version_id)
    return f"it starts {start.instance_id}" if start.is_new else f"version {number} has been started before"


async def _tell(client: df.DurableOrchestrationClient, image: ImagePolicy, operation: str, news: object) -> None:
    await client.signal_entity(_entity_of(image.name), operation, msgspec.to_builtins(news))


def _entity_of(image_name: str) -> df.EntityId:
    return df.EntityId(ENTITY, image_key(image_name))
