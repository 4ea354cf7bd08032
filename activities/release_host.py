"""Lets go of a host and leaves its drain mode as it is, or switches it off first."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from activities.host_tags import held_by_any
from adapters import session_hosts, virtual_machines
from rollout.orders import Order
from rollout.steps import ReleaseHost

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def release_host(order: Payload, context: func.Context) -> Payload:
    """Start switching the VM off when the step says so, else remove the rollout's tags.

    Not both at once: the tags stay until the VM is seen to be off, as a crash in between would leave it drained for
    good. A VM that accepts or has sessions is not switched off.
    In: an Order of ReleaseHost. Out: `{"ok": true}` or `{"error": StepError}`, code HostInUse.
    """
    return carry_out(order, ReleaseHost, _release, context)


def _release(step: ReleaseHost, order: Order) -> None:
    if step.deallocate:
        if registration := session_hosts.find_registration(order.pool_id, step.vm_id):
            session_hosts.require_unused(registration)
        virtual_machines.deallocate(step.vm_id)
    else:
        virtual_machines.remove_tags(step.vm_id, held_by_any(virtual_machines.read_tags(step.vm_id), order))
