"""Creates the VM of a new session host."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from activities.host_tags import held
from adapters import virtual_machines
from adapters.platform_images import plan_of
from adapters.pool_reader import target_group
from adapters.resource_ids import parse
from adapters.vm_bodies import POOL_TAG, vm_body
from rollout.model import is_marketplace
from rollout.orders import Order
from rollout.steps import ProvisionHost

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def provision_host(order: Payload, context: func.Context) -> Payload:
    """Start creating a VM from exactly one image version; the VM of an earlier attempt is left as it is.

    In: an Order of ProvisionHost. Out: `{"ok": true}` or `{"error": StepError}`, code NameInUse when somebody else's VM
    has that name.
    """
    return carry_out(order, ProvisionHost, _provision, context)


def _provision(step: ProvisionHost, order: Order) -> None:
    tags = {POOL_TAG: order.pool_id} | held(order, excluded=False)
    group = target_group(order.new_host, order.pool_id)
    plan = None
    if is_marketplace(step.image_version_id):
        plan = plan_of(parse(group).subscription, step.shape.location, step.image_version_id)
    body = vm_body(step.host, step.image_version_id, step.shape, step.zone, order.new_host, tags, plan)
    virtual_machines.create(group, step.host, body)
