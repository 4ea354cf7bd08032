"""Turns a host's drain mode on for a rollout."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from activities.host_tags import held
from adapters import session_hosts, virtual_machines
from rollout.orders import Order
from rollout.steps import StartDraining

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def start_draining(order: Payload, context: func.Context) -> Payload:
    """Tag the VM with the rollout, then turn drain mode on.

    In that order: a host that is drained without a tag would never be given back after a crash between the two.
    In: an Order of StartDraining. Out: `{"ok": true}` or `{"error": StepError}`.
    """
    return carry_out(order, StartDraining, _start, context)


def _start(step: StartDraining, order: Order) -> None:
    if step.vm_id and not step.held:
        virtual_machines.set_tags(step.vm_id, held(order, excluded=step.excluded))
    if step.registration:
        session_hosts.set_drain_mode(step.registration, on=True)
