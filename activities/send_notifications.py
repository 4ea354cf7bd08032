"""Sends notifications to a sink."""

from __future__ import annotations

import logging

import azure.durable_functions as df

from activities.answers import Payload, answering, as_json
from adapters.notifications import NotDelivered, send
from adapters.telemetry import measure
from rollout.measuring import of_delivery
from rollout.orders import Answer
from rollout.outbox import unpack_batch
from rollout.subject import subject_of

bp = df.Blueprint()

_log = logging.getLogger("goldroll.notifications")


@bp.activity_trigger(input_name="batch")
def send_notifications(batch: str) -> Payload:
    """In: a Batch, packed. Out: `{"ok": true}`, `{"off": true}` when nobody is to be told, or `{"error": ...}`.

    `"left"` are the numbers of events that have not arrived, or for which there was no time. Twice is harmless.
    """
    order = unpack_batch(batch)
    subject = subject_of(order.rollout, pool=order.pool)

    def run() -> Payload:
        try:
            left = send(order)
        except NotDelivered as failed:
            return as_json(Answer(failed.error, tuple(str(event.number) for event in failed.left)))
        if left is None:
            return {"off": True}
        return {"ok": True, **({"left": [str(event.number) for event in left]} if left else {})}

    answer = answering(run, subject)
    if (error := answer.get("error")) is not None:
        count, code, why = len(answer.get("left") or order.events), error["code"], error["message"]
        told = "notifications cannot be delivered to the %s: %d: %s: %s"
        _log.warning(told, order.sink, count, code, why, extra=subject.extra)
    measure(lambda: of_delivery(order.sink, order.pool, len(order.events), answer))
    return answer
