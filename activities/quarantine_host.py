"""Keeps a failed host for investigation, away from people."""

from __future__ import annotations

import azure.durable_functions as df

from activities.answers import Payload, carry_out
from activities.host_tags import quarantined
from adapters import session_hosts, virtual_machines
from rollout.orders import Order
from rollout.steps import QuarantineHost

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def quarantine_host(order: Payload) -> Payload:
    """Turn drain mode on, then exchange the rollout's tag for the quarantine tag with the reason.

    In: an Order of QuarantineHost. Out: `{"ok": true}` or `{"error": StepError}`.
    """
    return carry_out(order, QuarantineHost, _quarantine)


def _quarantine(step: QuarantineHost, _order: Order) -> None:
    if step.registration:
        session_hosts.set_drain_mode(step.registration, on=True)
    if step.vm_id:
        virtual_machines.edit_tags(step.vm_id, lambda tags: quarantined(tags, step.code))
