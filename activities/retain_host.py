"""Keeps an empty outdated host for a quick way back: switched off, drained, still registered."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from activities.host_tags import retained_until
from adapters import session_hosts, virtual_machines
from rollout.model import RETAINED_TAG, ROLLOUT_TAG
from rollout.orders import Order
from rollout.steps import RetainHost

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def retain_host(order: Payload, context: func.Context) -> Payload:
    """Read drain mode and sessions again, and only when drained and empty tag the VM and start switching it off.

    When it carries the tag and is off, the rollout's tag comes off instead: until then the rollout has to come back.
    In: an Order of RetainHost. Out: `{"ok": true}` or `{"error": StepError}`, code HostInUse.
    """
    return carry_out(order, RetainHost, _retain, context)


def _retain(step: RetainHost, order: Order) -> None:
    tags = virtual_machines.read_tags(step.vm_id)
    if RETAINED_TAG in tags and virtual_machines.is_switched_off(step.vm_id):
        virtual_machines.remove_tags(step.vm_id, {name: tags[name] for name in (ROLLOUT_TAG,) if name in tags})
        return
    session_hosts.require_unused(step.registration)
    if RETAINED_TAG not in tags:
        virtual_machines.set_tags(step.vm_id, retained_until(step.until))
    virtual_machines.deallocate(step.vm_id)
