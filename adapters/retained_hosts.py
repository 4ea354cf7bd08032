"""The hosts of a pool that are kept, switched off, for a quick way back; and how they are removed."""

from __future__ import annotations

from adapters import session_hosts, virtual_machines
from adapters.pool_reader import registered_host, vm_groups, vm_half
from adapters.wire import text
from rollout.model import SessionHost


def list_retained(pool_id: str) -> list[SessionHost]:
    """The registered hosts whose VM carries the tag and that no rollout has in hand, by name. Raises StepFailed."""
    registered = session_hosts.list_hosts(pool_id)
    machines = {
        text(vm, "id").lower(): vm
        for group in vm_groups("", registered)
        for vm in virtual_machines.list_in_group(group)
    }
    found = []
    for body in registered:
        vm = machines.get(text(body, "properties", "resourceId").lower())
        if vm is not None:
            host = registered_host(vm_half(vm, ""), pool_id, body, ())
            if host.is_retained and not host.is_tagged:
                found.append(host)
    return sorted(found, key=lambda host: host.name)


def remove(host: SessionHost) -> None:
    """Take a retained host out of its pool and delete its VM.

    Read again first: raises StepFailed, code HostInUse and nothing deleted, when it accepts sessions, has some, or has
    been started by somebody.
    """
    session_hosts.require_unused(host.registration)
    if not virtual_machines.is_switched_off(host.vm_id):
        raise session_hosts.in_use(f"{host.name} has been started by somebody")
    session_hosts.delete_registration(host.registration)
    virtual_machines.delete(host.vm_id)
