"""Finds out which versions of an image definition are being rolled out now, as far as Durable knows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import azure.durable_functions as df
import msgspec

from activities.answers import Payload, answering, as_json
from adapters.gallery import list_versions
from rollout.assignments import ImageRollBack
from rollout.instance_ids import ROLL_BACK_IMAGE, ROLL_OUT_IMAGE, image_instance, is_image_instance, version_rolled_out
from rollout.model import definition_of, short_version
from rollout.retirement import RunningRollouts

bp = df.Blueprint()

FURTHER_ATTEMPTS = 2
"""So many missing attempts in a row end the search for one that runs: Durable may have forgotten an earlier one."""

_Status = df.OrchestrationRuntimeStatus
_UNDER_WAY = (_Status.Running, _Status.Pending, _Status.Suspended, _Status.ContinuedAsNew)


@bp.activity_trigger(input_name="definition")
@bp.durable_client_input(client_name="client")
async def read_running_rollouts(definition: str, client: df.DurableOrchestrationClient) -> Payload:
    """In: the id of an image definition. Out: RunningRollouts, or `{"error": ...}`. Reads only."""
    read = await asyncio.to_thread(answering, lambda: {"ids": [version.id for version in list_versions(definition)]})
    if "error" in read:
        return read
    try:
        return as_json(await running_rollouts(client, definition, read["ids"]))
    except Exception as error:  # noqa: BLE001 - the client raises nothing more specific than Exception
        failure = error

        def fail() -> Payload:
            raise failure

        return answering(fail)


async def running_rollouts(
    client: df.DurableOrchestrationClient, definition_id: str, version_ids: Iterable[str]
) -> RunningRollouts:
    """The rollouts of these versions of a definition that have not ended.

    Durable is asked for each version by its instance's id, as its list stops after a page; the list adds rollouts of
    versions that Azure no longer has, and those that were not started by this app. Raises what the client raises.
    """
    running: dict[str, str] = {}
    unreadable = []
    for status in await client.get_status_by(runtime_status=list(_UNDER_WAY)):
        id = status.instance_id or ""
        if status.name == ROLL_BACK_IMAGE:
            running |= await _gone_back_to(client, id, definition_id)
        if status.name != ROLL_OUT_IMAGE:
            continue
        if number := version_rolled_out(id, definition_id):
            running[number] = id
        elif not is_image_instance(id):
            unreadable.append(f"the rollout {id[:100]} does not say in its id what it rolls out")
    for version_id in version_ids:
        if id := await _attempt_under_way(client, version_id):
            running[short_version(version_id)] = id
    return RunningRollouts(running, tuple(unreadable))


async def _gone_back_to(client: df.DurableOrchestrationClient, id: str, definition_id: str) -> dict[str, str]:
    """The versions of the definition that a roll back makes hosts of, and the one that it takes back."""
    status: Any = await client.get_status(id, show_input=True)
    given = json.loads(status.input_) if isinstance(status.input_, str) else status.input_
    back = msgspec.convert(given, ImageRollBack)
    ids = [back.version_id, *(pool.version_id for pool in back.pools)]
    return {short_version(one): id for one in ids if definition_of(one) == definition_of(definition_id)}


async def _attempt_under_way(client: df.DurableOrchestrationClient, version_id: str) -> str:
    attempt, missing = 1, 0
    while missing < FURTHER_ATTEMPTS:
        id = image_instance(version_id, attempt)
        status: Any = await client.get_status(id)
        if status and status.runtime_status in _UNDER_WAY:
            return id
        missing = 0 if status else missing + 1
        attempt += 1
    return ""
