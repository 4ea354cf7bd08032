"""Removes the retained hosts of a pool whose time is over."""

from __future__ import annotations

from datetime import datetime

import azure.durable_functions as df
import msgspec
from msgspec import Struct

from activities.answers import Payload, answering
from adapters.errors import StepFailed
from adapters.retained_hosts import list_retained, remove
from rollout.retained import retained_until

bp = df.Blueprint()

MOST_AT_ONCE = 50
"""Hosts that one run removes; the next day's takes the rest."""


class RetainedOrder(Struct, frozen=True):
    """The id of a host pool, and the moment by which hosts are judged."""

    pool_id: str
    now: datetime


@bp.activity_trigger(input_name="order")
def remove_retained_hosts(order: Payload) -> Payload:
    """Remove the pool's retained hosts that were to be kept until `now` at most and that nobody has started since.

    In: RetainedOrder. Out: `{"removed": [name], "kept": {name: why}}` or `{"error": StepError}`. Twice is harmless.
    """

    def carry_out() -> Payload:
        given = msgspec.convert(order, RetainedOrder)
        removed: list[str] = []
        kept: dict[str, str] = {}
        for host in list_retained(given.pool_id):
            until = retained_until(host)
            if until is None:
                kept[host.name] = "until when it is kept cannot be read from its tag"
            elif given.now >= until and len(removed) < MOST_AT_ONCE:
                try:
                    remove(host)
                    removed.append(host.name)
                except StepFailed as failed:
                    kept[host.name] = failed.error.message
        return {"removed": removed, "kept": kept}

    return answering(carry_out)
