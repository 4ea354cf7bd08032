"""Sets or clears excludeFromLatest on an image version, together with the verdict on it."""

from __future__ import annotations

import azure.durable_functions as df
import msgspec
from msgspec import Struct

from activities.answers import Payload, answering
from adapters.version_marks import mark
from rollout.ring_steps import MarkVersion

bp = df.Blueprint()


class MarkOrder(Struct, frozen=True):
    """The id of an image version, and what it shall carry."""

    version: str
    mark: MarkVersion


@bp.activity_trigger(input_name="order")
def mark_version(order: Payload) -> Payload:
    """In: MarkOrder. Out: `{"ok": true}` or `{"error": StepError}`. Twice is harmless."""

    def carry_out() -> Payload:
        given = msgspec.convert(order, MarkOrder)
        mark(given.version, given.mark)
        return {"ok": True}

    return answering(carry_out)
