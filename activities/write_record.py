"""Writes events into the record."""

from __future__ import annotations

import logging

import azure.durable_functions as df

from activities.answers import Payload, answering
from adapters.record_store import write
from rollout.outbox import unpack_batch
from rollout.subject import subject_of

bp = df.Blueprint()

_log = logging.getLogger("goldroll.activities")


@bp.activity_trigger(input_name="batch")
def write_record(batch: str) -> Payload:
    """In: a Batch, packed. Out: `{"ok": true}`, `{"off": true}` when no record is kept, or `{"error": ...}`.

    Twice is harmless: the rows are the same.
    """

    order = unpack_batch(batch)
    subject = subject_of(order.rollout, pool=order.pool)
    answer = answering(lambda: {"ok": True} if write(order) else {"off": True}, subject)
    if (error := answer.get("error")) is not None:
        why = f"{error['code']}: {error['message']}"
        _log.warning("the record cannot be written, it is tried again: %s", why, extra=subject.extra)
    return answer
