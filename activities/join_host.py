"""Joins a new session host to its directory."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from adapters import virtual_machines
from adapters.vm_bodies import join_properties
from rollout.model import JOIN_EXTENSION
from rollout.orders import Order
from rollout.steps import JoinHost

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def join_host(order: Payload, context: func.Context) -> Payload:
    """Start joining a VM to Entra ID or Active Directory.

    Whether it has joined was read when this was decided. Joining twice is the same PUT twice: Azure refuses the second
    one while the first is under way, and a machine that has joined stays as it is.

    In: an Order of JoinHost. Out: `{"ok": true}` or `{"error": StepError}`.
    """
    return carry_out(order, JoinHost, _join, context)


def _join(step: JoinHost, order: Order) -> None:
    properties = join_properties(order.new_host.join)
    virtual_machines.install_extension(step.vm_id, JOIN_EXTENSION, step.location, properties)
