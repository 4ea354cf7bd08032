"""Virtual machines of session hosts: lists for a pool's picture, and verbs that start an operation and return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters import resource_ids
from adapters.connect import connection
from adapters.errors import StepFailed, is_missing, translated
from adapters.reads import pages, read
from adapters.vm_bodies import extension_body, password
from adapters.wire import Json, at, items, tags, text
from rollout.model import ROLLOUT_TAG
from rollout.steps import StepError

API_VERSION = "2024-07-01"
"""Of what is read; client libraries choose their own for what they change."""

_MACHINES = "providers/Microsoft.Compute/virtualMachines"


def list_in_group(group_id: str) -> list[Json]:
    """The JSON of every VM of a resource group, without instance views; none when there is no such group.

    Raises StepFailed.
    """
    try:
        return list(pages(f"{group_id}/{_MACHINES}", API_VERSION))
    except StepFailed as failed:
        if is_missing(failed):
            return []
        raise


def power_states(subscription: str) -> dict[str, str]:
    """The power state ("running", "deallocated", ...) of every VM of a subscription: VM id in lower case -> word.

    One list call, however many VMs there are. Raises StepFailed.
    """
    machines = pages(f"/subscriptions/{subscription}/{_MACHINES}", API_VERSION, statusOnly="true")
    return {text(vm, "id").lower(): power_state(vm) for vm in machines if text(vm, "id")}


def read_with_instance_view(vm_id: str) -> Json | None:
    """The JSON of one VM with what its platform and its extensions report, None when it does not exist.

    Raises StepFailed.
    """
    try:
        return read(vm_id, API_VERSION, **{"$expand": "instanceView"})
    except StepFailed as failed:
        if is_missing(failed):
            return None
        raise


def exists(vm_id: str) -> bool:
    """There is such a VM at this moment, in whatever state. Raises StepFailed."""
    return read_with_instance_view(vm_id) is not None


def is_held(vm_id: str) -> bool:
    """The VM carries a rollout's tag at this moment; one that does not exist carries none. Raises StepFailed."""
    try:
        return ROLLOUT_TAG in tags(read(vm_id, API_VERSION))
    except StepFailed as failed:
        if is_missing(failed):
            return False
        raise


def is_switched_off(vm_id: str) -> bool:
    """The VM is stopped or deallocated at this moment, or does not exist. Raises StepFailed."""
    body = read_with_instance_view(vm_id)
    return body is None or power_state(body) in ("deallocated", "stopped")


def create(group_id: str, name: str, body: Json) -> None:
    """Start creating a VM; one of that name that this very rollout has created before is left as it is.

    `body` has no administrator password: one is made here, told to nobody and forgotten. Raises StepFailed, with code
    NameInUse when the name belongs to another VM.
    """
    from azure.core import MatchConditions

    group = resource_ids.parse(group_id)
    machines = connection().compute(group.subscription).virtual_machines
    secret = password()
    with_password: Any = _with_password(body, secret)
    try:
        with translated(secret):
            # If-None-Match: * makes the creation safe to repeat after a lost answer.
            machines.begin_create_or_update(
                group.group, name, with_password, match_condition=MatchConditions.IfMissing, polling=False
            )
    except StepFailed as failed:
        if failed.error.code != "PreconditionFailed":
            raise
        _require_own(group_id, name, tags(body).get(ROLLOUT_TAG, ""))


def edit_tags(vm_id: str, edit: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """Change a VM's tags: `edit` gets those it has and gives those it shall have; no change, no call.

    A VM that no longer exists is left at that. Compute replaces all tags at once, so they are read right before.
    Raises StepFailed.
    """
    vm = resource_ids.parse(vm_id)
    try:
        with translated():
            machines = connection().compute(vm.subscription).virtual_machines
            before = tags(machines.get(vm.group, vm.name).as_dict())
            after = edit(dict(before))
            if after != before:
                body: Any = {"tags": after}
                machines.begin_update(vm.group, vm.name, body, polling=False)
    except StepFailed as failed:
        if not is_missing(failed):
            raise


def delete(vm_id: str) -> None:
    """Start deleting a VM; its NIC and OS disk go with it by their delete option. Gone already is fine.

    Raises StepFailed.
    """
    vm = resource_ids.parse(vm_id)
    try:
        with translated():
            connection().compute(vm.subscription).virtual_machines.begin_delete(vm.group, vm.name, polling=False)
    except StepFailed as failed:
        if not is_missing(failed):
            raise


def deallocate(vm_id: str) -> None:
    """Start switching a VM off so that it costs no cores. Gone already is fine. Raises StepFailed."""
    vm = resource_ids.parse(vm_id)
    try:
        with translated():
            connection().compute(vm.subscription).virtual_machines.begin_deallocate(vm.group, vm.name, polling=False)
    except StepFailed as failed:
        if not is_missing(failed):
            raise


def extension_state(vm_id: str, name: str) -> str:
    """The provisioning state of a VM's extension, "" when it has none of that name. Raises StepFailed."""
    vm = resource_ids.parse(vm_id)
    try:
        with translated():
            extensions = connection().compute(vm.subscription).virtual_machine_extensions
            return text(extensions.get(vm.group, vm.name, name).as_dict(), "properties", "provisioningState")
    except StepFailed as failed:
        if is_missing(failed):
            return ""
        raise


def install_extension(vm_id: str, name: str, location: str, properties: Json, *secrets: str) -> None:
    """Start installing an extension. `secrets` are what no error message may repeat. Raises StepFailed."""
    vm = resource_ids.parse(vm_id)
    body: Any = extension_body(location, properties)
    with translated(*secrets):
        connection().compute(vm.subscription).virtual_machine_extensions.begin_create_or_update(
            vm.group, vm.name, name, body, polling=False
        )


# ------------------------------------------------------------------------------------------------- reading the bodies


def power_state(body: Json) -> str:
    """The word behind `PowerState/` in a VM's instance view, "" when Azure reports none."""
    return _status(body, "powerstate/")


def provisioning_error(body: Json) -> str:
    """The code of a failed creation, from `ProvisioningState/failed/AllocationFailed`; "" when it has not failed."""
    return _status(body, "provisioningstate/failed/")


def extension_states(body: Json) -> dict[str, str]:
    """The extensions of a VM that was read with its instance view: name -> provisioning state."""
    return {
        resource_ids.last(text(extension, "name")): text(extension, "properties", "provisioningState")
        for extension in items(body, "resources")
        if text(extension, "name")
    }


def _status(body: Json, prefix: str) -> str:
    for status in items(body, "properties", "instanceView", "statuses"):
        code = text(status, "code")
        if code.lower().startswith(prefix):
            return code[len(prefix) :]
    return ""


def _with_password(body: Json, secret: str) -> dict[str, Any]:
    properties = at(body, "properties")
    return {**body, "properties": {**properties, "osProfile": {**properties["osProfile"], "adminPassword": secret}}}


def _require_own(group_id: str, name: str, rollout: str) -> None:
    group = resource_ids.parse(group_id)
    with translated():
        found = connection().compute(group.subscription).virtual_machines.get(group.group, name).as_dict()
    if not rollout or tags(found).get(ROLLOUT_TAG) != rollout:
        raise StepFailed(StepError("NameInUse", f"a VM named {name} exists already", retriable=False))
