"""Writes events into the record."""

from __future__ import annotations

import logging

import azure.durable_functions as df

from activities.answers import Payload, answering
from adapters.record_store import write
from rollout.outbox import unpack_batch

bp = df.Blueprint()

_log = logging.getLogger("goldroll.activities")


@bp.activity_trigger(input_name="batch")
def write_record(batch: str) -> Payload:
    """In: a Batch, packed. Out: `{"ok": true}`, `{"off": true}` when no record is kept, or `{"error": ...}`.

    Twice is harmless: the rows are the same.
    """

    def run() -> Payload:
        return {"ok": True} if write(unpack_batch(batch)) else {"off": True}

    answer = answering(run)
    if (error := answer.get("error")) is not None:
        _log.warning("the record cannot be written, it is tried again: %s: %s", error["code"], error["message"])
    return answer
