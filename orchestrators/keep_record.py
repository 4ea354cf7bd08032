"""Keeps events that could not be written into the record, and tries until they are."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import azure.durable_functions as df

from orchestrators.moment import now_of
from rollout.unwritten import pause

bp = df.Blueprint()

ATTEMPTS_PER_HISTORY = 20

Orchestration = Generator[Any, Any, Any]


@bp.orchestration_trigger(context_name="context")
def keep_record(context: df.DurableOrchestrationContext) -> Orchestration:
    """Write a batch, with growing pauses, however long the record is out of reach.

    Input: `{"batch": Batch (packed), "attempts": failed so far}`. Output: `{"written": true}`, or false when the record
    has been switched off meanwhile.
    """
    given: dict[str, Any] = context.get_input(dict) or {}
    attempts = given.get("attempts", 0)
    for _ in range(ATTEMPTS_PER_HISTORY):
        try:
            answer = yield context.call_activity("write_record", given["batch"], dict)
        except Exception:  # noqa: BLE001 - Durable raises nothing but Exception for an activity that died
            answer = {"error": "died"}
        if answer.get("error") is None:
            return {"written": not answer.get("off", False)}
        attempts += 1
        yield context.create_timer(now_of(context) + pause(attempts))
    context.continue_as_new({"batch": given["batch"], "attempts": attempts})
    return None
