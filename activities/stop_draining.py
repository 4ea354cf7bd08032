"""Puts a host into service: new, or given back."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from activities.host_tags import held, held_by_any
from adapters import session_hosts, virtual_machines
from rollout.model import ROLLOUT_TAG
from rollout.orders import Order
from rollout.steps import StopDraining

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def stop_draining(order: Payload, context: func.Context) -> Payload:
    """Turn drain mode off, then remove the rollout's tags: while the tag is there, the rollout has to come back.

    A host without the tag is left as it is: it has been given back, and was only listed late; by now somebody else may
    have drained it. Of a new host the tags are known and not read.
    In: an Order of StopDraining. Out: `{"ok": true}` or `{"error": StepError}`.
    """
    return carry_out(order, StopDraining, _stop, context)


def _stop(step: StopDraining, order: Order) -> None:
    if step.is_new:
        ours = held(order, excluded=False)  # it has been made with these
    else:
        tags = virtual_machines.read_tags(step.vm_id) if step.vm_id else {}
        if step.vm_id and ROLLOUT_TAG not in tags:
            return
        ours = held_by_any(tags, order)
    if step.registration:
        session_hosts.set_drain_mode(step.registration, on=False)
    virtual_machines.remove_tags(step.vm_id, ours)
