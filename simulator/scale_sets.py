"""Virtual machine scale sets, as far as image versions are concerned: what they make machines from, and have made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from simulator import ids
from simulator.errors import AzureError, group_not_found, not_found
from simulator.galleries import Galleries
from simulator.machines import Machine, Machines, MachineSpec
from simulator.world import World, guid, public

SCALE_SET = "Microsoft.Compute/virtualMachineScaleSets"


@dataclass(slots=True, eq=False)
class Instance:
    """A machine of a uniform scale set, which the list of virtual machines does not show."""

    number: str
    vm_id: str
    image_id: str
    exact_version: str


@dataclass(slots=True, eq=False)
class ScaleSet:
    """A scale set. A flexible one's machines are ordinary virtual machines of its group; a uniform one keeps its own.

    `image_id` is what its model makes new machines from: a pinned version, or a definition and so its latest version.
    """

    id: str
    name: str
    subscription: str
    group: str
    region: str
    spec: MachineSpec
    flexible: bool
    unique_id: str
    created_at: datetime
    instances: list[Instance]
    machines: list[Machine]

    @property
    def image_id(self) -> str:
        """What new machines are made from."""
        return self.spec.image_id

    @property
    def capacity(self) -> int:
        """How many machines it has."""
        return len(self.machines) if self.flexible else len(self.instances)


class ScaleSets:
    """Every scale set of the estate."""

    def __init__(self, world: World, groups: set[str], galleries: Galleries, machines: Machines) -> None:
        self.world = world
        self._groups = groups
        self._galleries = galleries
        self._machines = machines
        self._rng = world.stream("scale sets")
        self._scale_sets: dict[str, ScaleSet] = {}

    @public
    def place(
        self, scale_set_id: str, region: str, image_id: str, *, capacity: int = 0, flexible: bool = True
    ) -> ScaleSet:
        """Put a scale set there that has existed for long, with so many machines made from `image_id`."""
        parts = ids.parse(scale_set_id)
        if f"{parts.subscription}/{parts.group}".lower() not in self._groups:
            raise group_not_found(parts.group)
        spec = MachineSpec(ids.normalise_region(region), image_id)
        scale_set = ScaleSet(
            str(parts),
            parts.name,
            parts.subscription,
            parts.group,
            spec.location,
            spec,
            flexible,
            guid(self._rng),
            self.world.time,
            [],
            [],
        )
        self._scale_sets[scale_set_id.lower()] = scale_set
        for _ in range(capacity):
            self._add(scale_set)
        return scale_set

    @public
    def update_model(self, scale_set_id: str, image_id: str) -> ScaleSet:
        """Let new machines be made from another image; those that are there stay as they are."""
        scale_set = self.get(scale_set_id)
        scale_set.spec = replace(scale_set.spec, image_id=image_id)
        return scale_set

    @public
    def get(self, scale_set_id: str) -> ScaleSet:
        """The scale set with this id, or a 404."""
        found = self._scale_sets.get(scale_set_id.lower())
        if found is None:
            parts = ids.parse(scale_set_id)
            raise not_found(SCALE_SET, parts.name, parts.group)
        return found

    @public
    def in_subscription(self, subscription: str) -> list[ScaleSet]:
        """All scale sets of a subscription in the order of their creation."""
        return [one for one in self._scale_sets.values() if one.subscription.lower() == subscription.lower()]

    @public
    def instances(self, scale_set_id: str) -> list[Instance]:
        """The machines that a uniform scale set keeps; asked of a flexible one, Azure refuses."""
        scale_set = self.get(scale_set_id)
        if scale_set.flexible:
            raise AzureError(
                409,
                "OperationNotAllowed",
                "This operation is not supported for a Virtual Machine Scale Set with orchestration mode Flexible.",
            )
        return scale_set.instances

    def _add(self, scale_set: ScaleSet) -> None:
        version = self._galleries.resolve(scale_set.image_id, scale_set.region)
        number = str(scale_set.capacity)
        if not scale_set.flexible:
            scale_set.instances.append(Instance(number, guid(self._rng), scale_set.image_id, version.name))
            return
        name = f"{scale_set.name}_{number}"
        machine_id = ids.machine_id(scale_set.subscription, scale_set.group, name)
        spec = replace(scale_set.spec, scale_set_id=scale_set.id, computer_name=f"{scale_set.name[:8]}{number:0>6}")
        scale_set.machines.append(self._machines.place(machine_id, spec))
