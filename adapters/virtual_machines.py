"""Virtual machines of session hosts: lists for a pool's picture, and verbs that start an operation and return."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from adapters import resource_ids
from adapters.connect import KeptPower, connection
from adapters.errors import StepFailed, is_missing, translated
from adapters.reads import pages, patch, read
from adapters.vm_bodies import extension_body, password
from adapters.wire import Json, at, items, tags, text
from rollout.model import ROLLOUT_TAG
from rollout.steps import StepError

API_VERSION = "2024-07-01"
"""Of what is read; client libraries choose their own for what they change."""

TAGS_API_VERSION = "2021-04-01"

POWER_KEPT = timedelta(seconds=50)
"""How long a list of power states serves other pools of the subscription: with 20,000 VMs it has a hundred pages."""

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


def power_states(subscription: str, reader: str, now: datetime) -> dict[str, str]:
    """The power state ("running", "deallocated", ...) of every VM of a subscription: VM id in lower case -> word.

    A list with a page for every 200 VMs of the subscription. What one `reader` has listed serves the others for a
    minute less a bit; whoever comes again reads anew. Raises StepFailed.
    """
    kept = connection().kept_power
    known = kept.get(subscription)
    if known is not None and reader not in known.served and known.read_at <= now < known.read_at + POWER_KEPT:
        known.served.add(reader)
        return known.states
    machines = pages(f"/subscriptions/{subscription}/{_MACHINES}", API_VERSION, statusOnly="true")
    states = {text(vm, "id").lower(): power_state(vm) for vm in machines if text(vm, "id")}
    kept[subscription] = KeptPower(states, now, {reader})
    return states


def read_power_state(vm_id: str) -> str:
    """The power state of one VM, "" when it does not exist or Azure reports none. Raises StepFailed."""
    body = read_with_instance_view(vm_id)
    return "" if body is None else power_state(body)


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


def provisioning_state(vm_id: str) -> str:
    """The provisioning state of a VM at this moment, "" when it does not exist. Raises StepFailed."""
    try:
        return text(read(vm_id, API_VERSION), "properties", "provisioningState")
    except StepFailed as failed:
        if is_missing(failed):
            return ""
        raise


def exists(vm_id: str) -> bool:
    """There is such a VM at this moment, in whatever state. Raises StepFailed."""
    return read_with_instance_view(vm_id) is not None


def read_tags(vm_id: str) -> dict[str, str]:
    """The tags of a VM at this moment; none when it does not exist. Raises StepFailed."""
    try:
        return tags(read(vm_id, API_VERSION))
    except StepFailed as failed:
        if is_missing(failed):
            return {}
        raise


def set_tags(vm_id: str, wanted: Mapping[str, str]) -> None:
    """Give a VM these tags besides the others that it has. One that does not exist is left at that. Raises StepFailed.

    Azure merges them itself: tags that somebody else sets at the same moment are not lost.
    """
    _edit_tags(vm_id, "Merge", wanted)


def remove_tags(vm_id: str, unwanted: Mapping[str, str]) -> None:
    """Take these tags away from a VM where they have these values; none, no call. One that does not exist is fine.

    Raises StepFailed.
    """
    if unwanted:
        _edit_tags(vm_id, "Delete", unwanted)


def _edit_tags(vm_id: str, operation: str, edited: Mapping[str, str]) -> None:
    body = {"operation": operation, "properties": {"tags": dict(edited)}}
    try:
        patch(f"{vm_id}/providers/Microsoft.Resources/tags/default", TAGS_API_VERSION, body)
    except StepFailed as failed:
        if not is_missing(failed):
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


def start(vm_id: str) -> None:
    """Start a VM that is switched off; one that runs is left at that. Raises StepFailed."""
    vm = resource_ids.parse(vm_id)
    with translated():
        connection().compute(vm.subscription).virtual_machines.begin_start(vm.group, vm.name, polling=False)


def install_extension(vm_id: str, name: str, location: str, properties: Json, *secrets: str) -> None:
    """Start installing an extension; one that Azure is at work on already is left to it.

    `secrets` are what no error message may repeat. Raises StepFailed.
    """
    vm = resource_ids.parse(vm_id)
    body: Any = extension_body(location, properties)
    try:
        with translated(*secrets):
            connection().compute(vm.subscription).virtual_machine_extensions.begin_create_or_update(
                vm.group, vm.name, name, body, polling=False
            )
    except StepFailed as failed:
        # An earlier attempt whose answer was lost, or somebody else's extension, is in the way.
        if failed.error.code != "Conflict" or _extension_state(vm_id, name) in ("", "Failed"):
            raise


def _extension_state(vm_id: str, name: str) -> str:
    try:
        extension = read(f"{vm_id}/extensions/{name}", API_VERSION)
    except StepFailed as failed:
        if is_missing(failed):
            return ""
        raise
    return text(extension, "properties", "provisioningState")


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
