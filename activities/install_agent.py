"""Installs the AVD agent on a new session host, which makes it register with its host pool."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from adapters import resource_ids, session_hosts, virtual_machines
from adapters.vm_bodies import agent_properties
from rollout.model import AGENT_EXTENSION
from rollout.orders import Order
from rollout.steps import InstallAgent

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def install_agent(order: Payload, context: func.Context) -> Payload:
    """Start installing the agent with a registration token.

    Whether it is installed was read when this was decided. Installing it twice is the same PUT twice: Azure refuses the
    second one while the first is under way, and the installer leaves a host alone that has registered.
    The token goes from Azure to Azure through this function's memory and nowhere else.
    In: an Order of InstallAgent. Out: `{"ok": true}` or `{"error": StepError}`.
    """
    return carry_out(order, InstallAgent, _install, context)


def _install(step: InstallAgent, order: Order) -> None:
    token = session_hosts.registration_token(order.pool_id, order.now)
    properties = agent_properties(resource_ids.last(order.pool_id), order.new_host, token)
    virtual_machines.install_extension(step.vm_id, AGENT_EXTENSION, step.location, properties, token)
