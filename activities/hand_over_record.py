"""Hands events that a sink could not be given over to an orchestration that keeps them."""

from __future__ import annotations

import azure.durable_functions as df

from activities.answers import Payload, as_json, unexpected
from rollout.orders import Answer
from rollout.outbox import keeper_instance, unpack_batch

bp = df.Blueprint()

ORCHESTRATION = "keep_record"


@bp.activity_trigger(input_name="batch")
@bp.durable_client_input(client_name="client")
async def hand_over_record(batch: str, client: df.DurableOrchestrationClient) -> Payload:
    """In: a Batch, packed. Out: `{"ok": true}` or `{"error": ...}`. Twice is harmless: one orchestration keeps it."""
    try:
        instance_id = keeper_instance(unpack_batch(batch))
        if not await client.get_status(instance_id):
            await client.start_new(ORCHESTRATION, instance_id, {"batch": batch, "attempts": 0})
    except Exception as error:  # noqa: BLE001 - the client raises nothing more specific than Exception
        return as_json(Answer(unexpected(error)))
    return {"ok": True}
