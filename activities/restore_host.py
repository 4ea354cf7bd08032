"""Takes a host that was set aside back into the hands of a rollout and starts it."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from activities.host_tags import held
from adapters import virtual_machines
from rollout.model import QUARANTINE_TAG, RETAINED_TAG
from rollout.orders import Order
from rollout.steps import RestoreHost

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def restore_host(order: Payload, context: func.Context) -> Payload:
    """The rollout's tag first, so that the host is never in nobody's hands; then the tag that says why it was kept off,
    then start.

    Drain mode stays on: nobody gets to it before it is proven. A VM that runs is started without effect.
    In: an Order of RestoreHost. Out: `{"ok": true}` or `{"error": StepError}`.
    """
    return carry_out(order, RestoreHost, _restore, context)


def _restore(step: RestoreHost, order: Order) -> None:
    tags = virtual_machines.read_tags(step.vm_id)
    virtual_machines.set_tags(step.vm_id, held(order, excluded=order.exclusion_tag in tags))
    if kept := {name: tags[name] for name in (RETAINED_TAG, QUARANTINE_TAG) if name in tags}:
        virtual_machines.remove_tags(step.vm_id, kept)
    virtual_machines.start(step.vm_id)
