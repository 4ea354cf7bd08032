"""ARM routes of virtual machine scale sets: what reads them."""

from __future__ import annotations

from collections.abc import Iterator

from simulator import ids
from simulator.errors import group_not_found
from simulator.estate import Estate
from simulator.scale_sets import SCALE_SET, Instance, ScaleSet
from simulator.wire import Answer, Json, Request, Route, compute_time, paged

_SUBSCRIPTION = "/subscriptions/{subscription}"
_ROOT = _SUBSCRIPTION + "/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets"
_SCALE_SET = _ROOT + "/{scale_set}"


def routes(estate: Estate) -> Iterator[Route]:
    """All routes of this file."""
    these = _Routes(estate)
    everywhere = _SUBSCRIPTION + "/providers/Microsoft.Compute/virtualMachineScaleSets"
    instances = _SCALE_SET + "/virtualMachines"
    yield Route("GET", _SCALE_SET, "virtualMachineScaleSets.get", these.get)
    yield Route("GET", _ROOT, "virtualMachineScaleSets.list", these.list_in_group, lists=True)
    yield Route("GET", everywhere, "virtualMachineScaleSets.listAll", these.list_in_subscription, lists=True)
    yield Route("GET", instances, "virtualMachineScaleSetVMs.list", these.list_instances, lists=True)


class _Routes:
    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._scale_sets = estate.scale_sets

    def get(self, request: Request) -> Answer:
        return Answer(200, scale_set_body(self._scale_sets.get(_scale_set_id(request))))

    def list_in_group(self, request: Request) -> Answer:
        if not self._estate.has_group(request.subscription, request.group):
            raise group_not_found(request.group)
        found = self._scale_sets.in_subscription(request.subscription)
        return paged(request, [one for one in found if one.group.lower() == request.group.lower()], scale_set_body)

    def list_in_subscription(self, request: Request) -> Answer:
        return paged(request, self._scale_sets.in_subscription(request.subscription), scale_set_body)

    def list_instances(self, request: Request) -> Answer:
        scale_set = self._scale_sets.get(_scale_set_id(request))
        return paged(request, self._scale_sets.instances(scale_set.id), lambda one: instance_body(scale_set, one))


def scale_set_body(scale_set: ScaleSet) -> Json:
    """A scale set as ARM shows it, with no more of its model than tells what its machines are made from."""
    return {
        "id": scale_set.id,
        "name": scale_set.name,
        "type": SCALE_SET,
        "location": scale_set.region,
        "tags": {},
        "sku": {"name": scale_set.spec.size, "tier": "Standard", "capacity": scale_set.capacity},
        "properties": {
            "orchestrationMode": "Flexible" if scale_set.flexible else "Uniform",
            "provisioningState": "Succeeded",
            "singlePlacementGroup": False,
            "uniqueId": scale_set.unique_id,
            "timeCreated": compute_time(scale_set.created_at),
            "virtualMachineProfile": {
                "storageProfile": {
                    "imageReference": {"id": scale_set.image_id},
                    "osDisk": {"createOption": "FromImage", "caching": "ReadWrite", "osType": "Windows"},
                },
            },
        },
    }


def instance_body(scale_set: ScaleSet, instance: Instance) -> Json:
    """A machine of a uniform scale set as ARM shows it."""
    return {
        "id": f"{scale_set.id}/virtualMachines/{instance.number}",
        "name": f"{scale_set.name}_{instance.number}",
        "type": f"{SCALE_SET}/virtualMachines",
        "location": scale_set.region,
        "tags": {},
        "instanceId": instance.number,
        "sku": {"name": scale_set.spec.size, "tier": "Standard"},
        "properties": {
            "latestModelApplied": instance.image_id == scale_set.image_id,
            "vmId": instance.vm_id,
            "provisioningState": "Succeeded",
            "storageProfile": {
                "imageReference": {"id": instance.image_id, "exactVersion": instance.exact_version},
                "osDisk": {"createOption": "FromImage", "caching": "ReadWrite", "osType": "Windows"},
            },
        },
    }


def _scale_set_id(request: Request) -> str:
    return ids.scale_set_id(request.subscription, request.group, request.names["scale_set"])
