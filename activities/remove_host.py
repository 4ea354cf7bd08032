"""Takes an empty host away for good: its registration, then its VM."""

from __future__ import annotations

import azure.durable_functions as df

from activities.answers import Payload, carry_out
from adapters import session_hosts, virtual_machines
from adapters.errors import StepFailed
from rollout.orders import Order
from rollout.steps import RemoveHost, StepError

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def remove_host(order: Payload) -> Payload:
    """Read drain mode and sessions again, and only when drained and empty delete the registration and then the VM.

    Sessions listed on a VM that is switched off or gone are nobody's. What does not exist any more counts as deleted.
    In: an Order of RemoveHost. Out: `{"ok": true}` or `{"error": StepError}`: code HostInUse, nothing deleted, when
    somebody is on the host, it accepts sessions, it has registered since, or a VM said to be gone exists after all.
    """
    return carry_out(order, RemoveHost, _remove)


def _remove(step: RemoveHost, order: Order) -> None:
    off = virtual_machines.is_switched_off(step.vm_id) if step.vm_id else _require_gone(step)
    if step.registration:
        session_hosts.require_unused(step.registration, occupied=off)
        session_hosts.delete_registration(step.registration, force=off)
    elif registration := session_hosts.find_registration(order.pool_id, step.vm_id):
        raise StepFailed(StepError("HostInUse", f"{step.host} has registered meanwhile as {registration}"))
    if step.vm_id:
        virtual_machines.delete(step.vm_id)


def _require_gone(step: RemoveHost) -> bool:
    # A list of VMs may be minutes old. The registration knows its VM, and people may be on it.
    vm_id = session_hosts.vm_of(step.registration)
    if vm_id and virtual_machines.exists(vm_id):
        raise StepFailed(StepError("HostInUse", f"the VM of {step.host} exists after all"))
    return True
