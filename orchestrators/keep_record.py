"""Keeps events that a sink could not be given, and tries until it has them.

Its name is from the days when the record was the only sink; histories hold it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
from msgspec import structs

from orchestrators.moment import now_of
from orchestrators.recorder import delivery_to, tell_of_lost
from rollout.outbox import Owed, answered, pack, unpack_batch
from rollout.subject import subject_of

bp = df.Blueprint()

ATTEMPTS_PER_HISTORY = 20

Orchestration = Generator[Any, Any, Any]


@bp.orchestration_trigger(context_name="context")
def keep_record(context: df.DurableOrchestrationContext) -> Orchestration:
    """Deliver a batch, with growing pauses: into the record however long that takes, else until it is given up.

    Input: `{"batch": Batch (packed), "attempts": failed so far}`. Output: `{"written": true}`, or false when the sink
    has been switched off meanwhile, or has refused what was left for too long.
    """
    given: dict[str, Any] = context.get_input(dict) or {}
    batch = unpack_batch(given["batch"])
    owed = Owed(batch.events, given.get("attempts", 0))
    for _ in range(ATTEMPTS_PER_HISTORY):
        order = pack(structs.replace(batch, events=owed.events))
        try:
            answer = yield context.call_activity(delivery_to(batch.sink), order, dict)
        except Exception:  # noqa: BLE001 - Durable raises nothing but Exception for an activity that died
            answer = None
        now = now_of(context)
        owed, lost = answered(owed, owed.events, answer, now, batch.sink)
        if lost and not context.is_replaying:
            tell_of_lost(batch.sink, lost, subject_of(batch.rollout, pool=batch.pool))
        if not owed.events:
            is_off = isinstance(answer, dict) and answer.get("off", False)
            return {"written": not (lost or is_off)}
        yield context.create_timer(max(now, owed.retry_at or now))
    left = pack(structs.replace(batch, events=owed.events))
    context.continue_as_new({"batch": left, "attempts": owed.attempts})
    return None
