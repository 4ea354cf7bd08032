"""Keeps a failed host for investigation, away from people."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from activities.host_tags import quarantined
from adapters import session_hosts, virtual_machines
from rollout.model import ROLLOUT_TAG
from rollout.orders import Order
from rollout.steps import QuarantineHost

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def quarantine_host(order: Payload, context: func.Context) -> Payload:
    """Turn drain mode on, set the quarantine tag with the reason, then remove the rollout's tag.

    Autoscale still leaves the VM alone: it would put it back into service.

    In: an Order of QuarantineHost. Out: `{"ok": true}` or `{"error": StepError}`.
    """
    return carry_out(order, QuarantineHost, _quarantine, context)


def _quarantine(step: QuarantineHost, _order: Order) -> None:
    if step.registration:
        session_hosts.set_drain_mode(step.registration, on=True)
    if step.vm_id:
        virtual_machines.set_tags(step.vm_id, quarantined(step.code))
        tags = virtual_machines.read_tags(step.vm_id)
        virtual_machines.remove_tags(step.vm_id, {name: tags[name] for name in tags if name == ROLLOUT_TAG})
