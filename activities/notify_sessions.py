"""Tells people on a host what is going to happen."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out, for_each_session
from adapters import session_hosts
from rollout.orders import Order
from rollout.steps import NotifySessions

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def notify_sessions(order: Payload, context: func.Context) -> Payload:
    """Send one message to each session of the step; people who have left meanwhile need none.

    In: an Order of NotifySessions. Out: `{"ok": true}` or `{"error": StepError, "left": [sessions not reached]}`.
    """
    return carry_out(order, NotifySessions, _notify, context)


def _notify(step: NotifySessions, _order: Order) -> None:
    for_each_session(step.sessions, lambda id: session_hosts.send_message(step.registration, id, step.title, step.body))
