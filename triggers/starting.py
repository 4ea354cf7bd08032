"""Starts a rollout's orchestration, never a second time for the same version."""

from __future__ import annotations

from typing import Any

import azure.durable_functions as df
import msgspec
from msgspec import Struct

from rollout.assignments import ImageRollout
from rollout.instance_ids import image_instance
from rollout.model import Phase

ORCHESTRATION = "roll_out_image"

_ENDED = frozenset(
    {
        df.OrchestrationRuntimeStatus.Completed,
        df.OrchestrationRuntimeStatus.Failed,
        df.OrchestrationRuntimeStatus.Terminated,
        df.OrchestrationRuntimeStatus.Canceled,
    }
)


class Start(Struct, frozen=True):
    """The instance that rolls the version out; `is_new` False when it had been started before."""

    instance_id: str
    is_new: bool


async def start_once(client: df.DurableOrchestrationClient, rollout: ImageRollout) -> Start:
    """Start a version's rollout unless there has ever been one: events are delivered twice, and late."""
    instance_id = image_instance(rollout.version_id)
    if await client.get_status(instance_id):
        return Start(instance_id, is_new=False)
    return await _start(client, instance_id, rollout)


async def start_again(client: df.DurableOrchestrationClient, rollout: ImageRollout) -> Start:
    """Start a version's rollout, or another attempt at one that has ended without complete success.

    One that runs, or has succeeded, is answered as it is: asking twice starts nothing twice.
    """
    attempt = 1
    while True:
        instance_id = image_instance(rollout.version_id, attempt)
        status = await client.get_status(instance_id)
        if not status:
            return await _start(client, instance_id, rollout)
        if not _may_be_repeated(status):
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


async def _start(client: df.DurableOrchestrationClient, instance_id: str, rollout: ImageRollout) -> Start:
    try:
        await client.start_new(ORCHESTRATION, instance_id, msgspec.to_builtins(rollout))
    except Exception:
        # Two triggers may have asked at the same moment, and Durable refuses the second.
        if await client.get_status(instance_id):
            return Start(instance_id, is_new=False)
        raise
    return Start(instance_id, is_new=True)
