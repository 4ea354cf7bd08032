"""Takes an empty host away for good: its registration, then its VM."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from activities.answers import Payload, carry_out
from adapters import session_hosts, virtual_machines
from rollout.orders import Order
from rollout.steps import RemoveHost

bp = df.Blueprint()


@bp.activity_trigger(input_name="order")
def remove_host(order: Payload, context: func.Context) -> Payload:
    """Read drain mode and sessions again, and only when drained and empty delete the registration and then the VM.

    Sessions listed on a VM that is switched off or gone are nobody's. What does not exist any more counts as deleted.
    In: an Order of RemoveHost. Out: `{"ok": true}` or `{"error": StepError}`: code HostInUse, nothing deleted, when
    somebody is on the host, it accepts sessions, it has registered since, or a VM said to be gone exists after all.
    """
    return carry_out(order, RemoveHost, _remove, context)


def _remove(step: RemoveHost, order: Order) -> None:
    if not step.vm_id:
        _require_gone(step)
    if step.registration:
        _take_out_of_pool(step)
    elif virtual_machines.provisioning_state(step.vm_id) in ("", "Deleting"):
        return  # an earlier attempt has come so far
    elif registration := session_hosts.find_registration(order.pool_id, step.vm_id):
        raise session_hosts.in_use(f"{step.host} has registered meanwhile as {registration}")
    if step.vm_id:
        virtual_machines.delete(step.vm_id)


def _take_out_of_pool(step: RemoveHost) -> None:
    sessions = session_hosts.sessions_left(step.registration)
    off = bool(sessions) and (not step.vm_id or virtual_machines.is_switched_off(step.vm_id))
    if sessions and not off:
        raise session_hosts.in_use(f"{step.host} has {sessions} session{'s' if sessions > 1 else ''}")
    session_hosts.delete_registration(step.registration, force=off)


def _require_gone(step: RemoveHost) -> None:
    # A list of VMs may be minutes old. The registration knows its VM, and people may be on it.
    vm_id = session_hosts.vm_of(step.registration)
    if vm_id and virtual_machines.exists(vm_id):
        raise session_hosts.in_use(f"the VM of {step.host} exists after all")
