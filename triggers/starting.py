"""Starts a rollout's orchestration, never a second time for the same version."""

from __future__ import annotations

from typing import Any

import azure.durable_functions as df
import msgspec
from msgspec import Struct

from rollout.assignments import ImageRollout
from rollout.commands import Command
from rollout.instance_ids import COMMAND_EVENT, ROLL_OUT_IMAGE, back_instance, image_instance, version_rolled_out
from rollout.model import Phase, definition_of, short_version, version_number

_ENDED = frozenset(
    {
        df.OrchestrationRuntimeStatus.Completed,
        df.OrchestrationRuntimeStatus.Failed,
        df.OrchestrationRuntimeStatus.Terminated,
        df.OrchestrationRuntimeStatus.Canceled,
    }
)

_UNDER_WAY = (df.OrchestrationRuntimeStatus.Pending, df.OrchestrationRuntimeStatus.Running)


class Start(Struct, frozen=True):
    """The instance that rolls the version out; `is_new` False when it had been started before."""

    instance_id: str
    is_new: bool


async def start_once(client: df.DurableOrchestrationClient, rollout: ImageRollout) -> Start:
    """Start a version's rollout unless there has ever been one: events are delivered twice, and late."""
    instance_id = image_instance(rollout.version_id)
    if status := await client.get_status(instance_id):
        if not has_ended(status):
            await _supersede_older(client, instance_id, rollout)  # the first delivery may have been cut off before
        return Start(instance_id, is_new=False)
    return await _start(client, instance_id, rollout)


async def start_again(client: df.DurableOrchestrationClient, rollout: ImageRollout) -> Start:
    """Start a version's rollout, or another attempt at one that has ended without complete success or was rolled back.

    One that runs, or has succeeded, is answered as it is: asking twice starts nothing twice.
    """
    attempt = 1
    while True:
        instance_id = image_instance(rollout.version_id, attempt)
        status = await client.get_status(instance_id)
        if not status:
            return await _start(client, instance_id, rollout)
        if not (_may_be_repeated(status) or await _was_rolled_back(client, instance_id)):
            return Start(instance_id, is_new=False)
        attempt += 1


def has_ended(status: Any) -> bool:
    """The instance will do nothing more."""
    return status.runtime_status in _ENDED


def _may_be_repeated(status: Any) -> bool:
    if not has_ended(status):
        return False
    output = status.output
    return not (isinstance(output, dict) and output.get("phase") == Phase.SUCCEEDED)


async def _was_rolled_back(client: df.DurableOrchestrationClient, instance_id: str) -> bool:
    """What the rollout has done has been taken back since, whatever it had come to."""
    status = await client.get_status(back_instance(instance_id))
    return bool(status) and has_ended(status)


async def _start(client: df.DurableOrchestrationClient, instance_id: str, rollout: ImageRollout) -> Start:
    try:
        await client.start_new(ROLL_OUT_IMAGE, instance_id, msgspec.to_builtins(rollout))
    except Exception:
        # Two triggers may have asked at the same moment, and Durable refuses the second.
        if await client.get_status(instance_id):
            return Start(instance_id, is_new=False)
        raise
    await _supersede_older(client, instance_id, rollout)
    return Start(instance_id, is_new=True)


async def _supersede_older(client: df.DurableOrchestrationClient, instance_id: str, rollout: ImageRollout) -> None:
    """Tell rollouts of older versions of the same image that they are to start nothing more. Twice is harmless.

    Not when a host pool of the policy says that a version is to be finished before the next one.
    """
    if any(pool.on_newer_version != "supersede" for pool in rollout.pools):
        return
    definition, number = definition_of(rollout.version_id), version_number(rollout.version_id)
    told = Command("supersede", instance_id, f"version {short_version(rollout.version_id)} has been published")
    for status in await client.get_status_by(runtime_status=list(_UNDER_WAY)):
        older = status.instance_id or ""
        other = version_rolled_out(older, definition)
        if _has_been_told_to_end(status) or not other or number is None:
            continue
        if tuple(int(part) for part in other.split(".")) < number:
            await client.raise_event(older, COMMAND_EVENT, msgspec.to_builtins(told))


def _has_been_told_to_end(status: Any) -> bool:
    """The rollout shows that it takes no further command; see rollout.status.ImageStatus."""
    shown = status.custom_status.get("command") if isinstance(status.custom_status, dict) else None
    return isinstance(shown, dict) and shown.get("kind") in ("abort", "supersede")
