"""Virtual machines: made, started, stopped and deleted asynchronously, with their network interface and disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from simulator import ids
from simulator.attachments import Attachments
from simulator.errors import AzureError, OperationFailure, group_not_found, not_found
from simulator.faults import Site
from simulator.galleries import Galleries
from simulator.images import GOOD, Flaws, ImageVersion
from simulator.journal import Kind
from simulator.marketplace import refuse_without_plan
from simulator.operations import Operation, Operations
from simulator.quota import Quota, allocation_failure
from simulator.timings import Range, draw
from simulator.world import World, guid, public

if TYPE_CHECKING:
    from simulator.extensions import Extension

MACHINE = "Microsoft.Compute/virtualMachines"
_NAME_LIMIT = 15


class Power(StrEnum):
    """Power states, in the words of the instance view."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DEALLOCATING = "deallocating"
    DEALLOCATED = "deallocated"


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """What a machine is asked to be. Names left empty are given by Azure. `body` is the request as it came."""

    location: str
    image_id: str
    size: str = "Standard_D4as_v5"
    zone: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    computer_name: str = ""
    interface_name: str = ""
    disk_name: str = ""
    delete_interface: bool = True
    delete_disk: bool = True
    ephemeral: bool = False
    identity: bool = True
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Machine:
    """A virtual machine as it stands."""

    id: str
    name: str
    subscription: str
    group: str
    spec: MachineSpec
    vm_id: str
    created_at: datetime
    tags: dict[str, str]
    interface_name: str
    disk_name: str
    image: ImageVersion | None = None
    image_id: str = ""
    exact_version: str = ""
    flaws: Flaws = GOOD
    provisioning_state: str = "Creating"
    error: OperationFailure | None = None
    state_since: datetime | None = None
    power: Power | None = None
    operation: Operation | None = None
    extensions: dict[str, Extension] = field(default_factory=dict)
    allocated: bool = False
    joined_as: str = ""
    agent_pool: str = ""
    revision: int = 1

    @property
    def running(self) -> bool:
        """Whether Windows runs on it, so that agents can work and people can be connected."""
        return self.power is Power.RUNNING and self.provisioning_state in ("Succeeded", "Updating")

    @property
    def region(self) -> str:
        """The region in its short form."""
        return self.spec.location

    @property
    def busy(self) -> bool:
        """Whether an operation on the machine itself is under way."""
        return self.operation is not None and self.operation.status == "InProgress"


class Machines:
    """Every virtual machine of the estate."""

    def __init__(
        self,
        world: World,
        groups: set[str],
        galleries: Galleries,
        quota: Quota,
        operations: Operations,
        attachments: Attachments,
    ) -> None:
        self.world = world
        self._groups = groups
        self._galleries = galleries
        self._quota = quota
        self._operations = operations
        self._attachments = attachments
        self._rng = world.stream("machines")
        self._machines: dict[str, Machine] = {}
        self._being_made: dict[tuple[str, str], list[Machine]] = {}
        self.power_listeners: list[Callable[[Machine], None]] = []

    @public
    def put(self, machine_id: str, spec: MachineSpec, *, only_if_absent: bool = False) -> Operation:
        """Begin to create the machine; with `only_if_absent` (`If-None-Match: *`) an existing one is a 412.

        A machine that exists and has not failed only takes over the tags. Raises what Azure refuses at once: no such
        group, size or image, no quota, a name in use by a machine under deletion. Allocation fails later, in the
        operation.
        """
        parts = ids.parse(machine_id)
        existing = self._machines.get(machine_id.lower())
        if existing is not None and only_if_absent:
            raise AzureError(
                412,
                "PreconditionFailed",
                f"The condition '*' specified using HTTP conditional header(s) is not met. Resource '{parts.name}' "
                "exists.",
            )
        if existing is not None and existing.provisioning_state != "Failed":
            return self._update(existing, spec)
        if f"{parts.subscription}/{parts.group}".lower() not in self._groups:
            raise group_not_found(parts.group)
        return self._create(parts, spec, existing)

    @public
    def patch_tags(self, machine_id: str, tags: Mapping[str, str]) -> Machine:
        """Replace all tags of the machine (a PATCH of tags replaces the whole set)."""
        machine = self._get(machine_id)
        _refuse_while_deleting(machine)
        self._set_tags(machine, tags)
        return machine

    @public
    def delete(self, machine_id: str) -> Operation | None:
        """Begin to delete the machine; None when there is none. Who is signed in on it is cut off at once."""
        machine = self._machines.get(machine_id.lower())
        if machine is None:
            return None
        if machine.provisioning_state == "Deleting" and machine.operation is not None:
            return machine.operation
        operation = self._begin(machine, "Deleting")
        self.world.record(Kind.MACHINE_DELETING, machine.id)
        if machine.power is not None:
            self._set_power(machine, Power.STOPPING)
        self._finish_after(machine, self.world.timings.delete_machine, self._deleted, operation)
        return operation

    @public
    def start(self, machine_id: str) -> Operation:
        """Begin to start the machine; a running one is started at once."""
        machine = self._get(machine_id)
        _refuse_while_deleting(machine)
        _refuse_while_busy(machine)
        operation = self._begin(machine, "Updating")
        if machine.power is Power.RUNNING:
            self._settle(machine, operation)
            return operation
        self.world.record(Kind.MACHINE_STARTING, machine.id)
        self._set_power(machine, Power.STARTING)
        self._finish_after(machine, self.world.timings.start_machine, self._started, operation)
        return operation

    @public
    def deallocate(self, machine_id: str) -> Operation:
        """Begin to stop the machine and give its hardware back. Ephemeral disks cannot be deallocated."""
        if self._get(machine_id).spec.ephemeral:
            raise AzureError(
                409,
                "OperationNotAllowed",
                "Operation 'deallocate' is not supported for VMs or VM Scale Set instances using ephemeral OS disk.",
            )
        return self._stop(machine_id, Power.DEALLOCATING, Power.DEALLOCATED)

    @public
    def power_off(self, machine_id: str) -> Operation:
        """Begin to stop the machine; it keeps its hardware."""
        return self._stop(machine_id, Power.STOPPING, Power.STOPPED)

    @public
    def get(self, machine_id: str) -> Machine:
        """The machine with this id, or a 404."""
        return self._get(machine_id)

    @public
    def find(self, machine_id: str) -> Machine | None:
        """The machine with this id, or None."""
        return self._machines.get(machine_id.lower())

    @public
    def in_group(self, subscription: str, group: str) -> list[Machine]:
        """The machines of a resource group in the order of their creation."""
        wanted = (subscription.lower(), group.lower())
        return [one for one in self._machines.values() if (one.subscription.lower(), one.group.lower()) == wanted]

    @public
    def in_subscription(self, subscription: str) -> list[Machine]:
        """All machines of a subscription in the order of their creation."""
        return [one for one in self._machines.values() if one.subscription.lower() == subscription.lower()]

    @public
    def everything(self) -> list[Machine]:
        """All machines of all subscriptions in the order of their creation."""
        return list(self._machines.values())

    def place(self, machine_id: str, spec: MachineSpec, *, running: bool = True) -> Machine:
        """Put a machine there that has existed for long, without an operation: for building estates."""
        parts = ids.parse(machine_id)
        machine = self._new(parts, spec, self._galleries.resolve(spec.image_id, spec.location))
        machine.provisioning_state = "Succeeded"
        machine.allocated = running and self._quota.allocate(machine.region, spec.size, spec.zone) is None
        machine.power = Power.RUNNING if running else Power.DEALLOCATED
        self._attachments.add_disk(machine)
        return machine

    def _get(self, machine_id: str) -> Machine:
        machine = self._machines.get(machine_id.lower())
        if machine is None:
            parts = ids.parse(machine_id)
            raise not_found(MACHINE, parts.names[0], parts.group)
        return machine

    def _create(self, parts: ids.ResourceId, spec: MachineSpec, failed: Machine | None) -> Operation:
        if len(spec.computer_name or parts.name) > _NAME_LIMIT:
            raise AzureError(
                400,
                "InvalidParameter",
                "Windows computer name cannot be more than 15 characters long, be entirely numeric, or contain the "
                "following characters: ` ~ ! @ # $ % ^ & * ( ) = + _ [ ] { } \\\\ | ; : . ' \" , < > / ?.",
                target="computerName",
            )
        image = self._galleries.resolve(spec.image_id, spec.location)
        if image.is_everywhere:
            refuse_without_plan(parts.name, self._galleries.marketplace.resolve(image.id)[1], spec.body.get("plan"))
        freed = failed.spec.size if failed else None
        self._quota.check(parts.subscription, ids.normalise_region(spec.location), spec.size, spec.zone, freed)
        self._attachments.refuse_taken_names(parts, spec, failed)
        if failed is not None:
            self._forget(failed)
            self._attachments.release(failed, all_go=True)  # its successor makes them anew
        machine = self._new(parts, spec, image)
        operation = self._begin(machine, "Creating")
        self.world.record(Kind.MACHINE_REQUESTED, machine.id, image.name)
        refused = self._refusal(machine)
        if refused is not None:
            self._finish_after(machine, self.world.timings.allocation_refusal, self._failed, operation, refused)
            return operation
        self._attachments.add_disk(machine)
        machine.allocated = True
        self._set_power(machine, Power.STARTING)
        if machine.flaws.never_boots:
            timeout = OperationFailure(
                "OSProvisioningTimedOut",
                f"OS Provisioning for VM '{machine.name}' did not finish in the allotted time. The VM may still finish "
                "provisioning successfully. Please check provisioning state later.",
            )
            self._finish_after(machine, (2400, 2700), self._failed, operation, timeout)
        else:
            shortest, longest = self.world.timings.create_machine
            crowding = self._crowding(machine, image)
            self._finish_after(machine, (shortest * crowding, longest * crowding), self._created, operation)
        return operation

    def _crowding(self, machine: Machine, image: ImageVersion) -> float:
        """How many times longer the machine takes because others are made from the same copies of the image.

        The copies in a region serve so many machines at full pace and the same number in all when there are more.
        """
        key = (image.id, machine.region)
        others = [one for one in self._being_made.get(key, []) if one.provisioning_state == "Creating"]
        self._being_made[key] = [*others, machine]
        crowding = (len(others) + 1) / max(1, image.carries(machine.region))
        if crowding > 1:
            self.world.record(Kind.REPLICAS_CROWDED, image.id, machine.region)
        return max(1.0, crowding)

    def _refusal(self, machine: Machine) -> OperationFailure | None:
        if self.world.faults.fires(Site.ALLOCATION_FAILED, machine.id):
            return allocation_failure(machine.spec.zone)
        return self._quota.allocate(machine.region, machine.spec.size, machine.spec.zone)

    def _new(self, parts: ids.ResourceId, spec: MachineSpec, image: ImageVersion) -> Machine:
        suffix = guid(self._rng).replace("-", "")
        machine = Machine(
            id=str(parts),
            name=parts.name,
            subscription=parts.subscription,
            group=parts.group,
            spec=spec,
            vm_id=guid(self._rng),
            created_at=self.world.time,
            tags=dict(spec.tags),
            interface_name=spec.interface_name or f"{parts.name}-nic",
            disk_name=spec.disk_name or f"{parts.name}_OsDisk_1_{suffix}",
            image=image,
            image_id=spec.image_id,
            exact_version=image.name,
            flaws=image.flaws,
            state_since=self.world.time,
        )
        self._machines[machine.id.lower()] = machine
        self._quota.use(machine.subscription, machine.region, spec.size)
        self._attachments.add_interface(machine)
        return machine

    def _update(self, machine: Machine, spec: MachineSpec) -> Operation:
        _refuse_while_deleting(machine)
        if spec.image_id.lower() != machine.image_id.lower():
            raise AzureError(
                409,
                "PropertyChangeNotAllowed",
                "Changing property 'imageReference' is not allowed.",
                target="imageReference",
            )
        self._set_tags(machine, spec.tags)
        if machine.operation is not None and machine.busy:
            return machine.operation
        operation = self._begin(machine, "Updating")
        self._settle(machine, operation)
        return operation

    def _set_tags(self, machine: Machine, tags: Mapping[str, str]) -> None:
        if machine.tags != dict(tags):
            before = machine.tags
            machine.tags = dict(tags)
            machine.revision += 1
            changed = sorted(name for name in before.keys() | tags.keys() if before.get(name) != tags.get(name))
            self.world.record(Kind.MACHINE_TAGGED, machine.id, ", ".join(changed))

    def _stop(self, machine_id: str, during: Power, after: Power) -> Operation:
        machine = self._get(machine_id)
        _refuse_while_deleting(machine)
        _refuse_while_busy(machine)
        operation = self._begin(machine, "Updating")
        if machine.power in (after, Power.DEALLOCATED):
            self._settle(machine, operation)
            return operation
        self.world.record(Kind.MACHINE_STOPPING, machine.id)
        self._set_power(machine, during)
        self._finish_after(machine, self.world.timings.stop_machine, self._stopped, operation, after)
        return operation

    def _begin(self, machine: Machine, state: str) -> Operation:
        if machine.operation is not None:
            self._operations.cancel(machine.operation)
        machine.operation = self._operations.begin(machine.region, machine.id)
        machine.provisioning_state = state
        machine.state_since = self.world.time
        machine.revision += 1
        return machine.operation

    def _finish_after(
        self, machine: Machine, span: Range, then: Callable[..., None], operation: Operation, *more: object
    ) -> None:
        slow = machine.flaws.slow * self.world.faults.slowness(machine.id)
        seconds = draw(self._rng, span, slow)
        self.world.after(seconds, self._finish, machine, operation, then, more, by=self.world.actor)

    def _finish(
        self, machine: Machine, operation: Operation, then: Callable[..., None], more: tuple[object, ...]
    ) -> None:
        if machine.operation is operation and operation.status == "InProgress":
            then(machine, operation, *more)

    def _settle(self, machine: Machine, operation: Operation, error: OperationFailure | None = None) -> None:
        machine.provisioning_state = "Failed" if error else "Succeeded"
        machine.error = error
        machine.state_since = self.world.time
        machine.revision += 1
        self._operations.end(operation, error)

    def _created(self, machine: Machine, operation: Operation) -> None:
        self._settle(machine, operation)
        self.world.record(Kind.MACHINE_CREATED, machine.id)
        self._set_power(machine, Power.RUNNING)

    def _failed(self, machine: Machine, operation: Operation, error: OperationFailure) -> None:
        self._settle(machine, operation, error)
        if machine.allocated:
            machine.power = Power.RUNNING
        self.world.record(Kind.MACHINE_FAILED, machine.id, error.code)

    def _started(self, machine: Machine, operation: Operation) -> None:
        refused = None if machine.allocated else self._refusal(machine)
        if refused is not None:
            self._settle(machine, operation, refused)
            self._set_power(machine, Power.DEALLOCATED)
            self.world.record(Kind.MACHINE_START_FAILED, machine.id, refused.code)
            return
        machine.allocated = True
        self._attachments.add_disk(machine)  # missing when the machine found no hardware at its creation
        self._settle(machine, operation)
        self.world.record(Kind.MACHINE_STARTED, machine.id)
        self._set_power(machine, Power.RUNNING)

    def _stopped(self, machine: Machine, operation: Operation, power: Power) -> None:
        if power is Power.DEALLOCATED:
            self._give_back(machine)
        self._settle(machine, operation)
        self._set_power(machine, power)
        self.world.record(Kind.MACHINE_STOPPED, machine.id, power)

    def _deleted(self, machine: Machine, operation: Operation) -> None:
        self._operations.end(operation)
        machine.power = None
        self._forget(machine)
        self._attachments.release(machine)
        self.world.record(Kind.MACHINE_DELETED, machine.id)
        for listener in self.power_listeners:
            listener(machine)

    def _forget(self, machine: Machine) -> None:
        self._give_back(machine)
        self._quota.use(machine.subscription, machine.region, machine.spec.size, -1)
        del self._machines[machine.id.lower()]

    def _give_back(self, machine: Machine) -> None:
        if machine.allocated:
            machine.allocated = False
            self._quota.release(machine.region, machine.spec.size, machine.spec.zone)

    def _set_power(self, machine: Machine, power: Power) -> None:
        machine.power = power
        for listener in self.power_listeners:
            listener(machine)


def _refuse_while_deleting(machine: Machine) -> None:
    if machine.provisioning_state == "Deleting":
        raise AzureError(
            409,
            "OperationNotAllowed",
            f"Operation cannot be performed on the VM '{machine.name}' since the VM is marked for deletion. You can "
            "only retry the Delete operation (or wait for an ongoing one to complete).",
        )


def _refuse_while_busy(machine: Machine) -> None:
    if machine.busy:
        raise AzureError(
            409,
            "Conflict",
            f"The request failed due to conflict with a concurrent request. To resolve it, please refer to "
            f"https://aka.ms/activitylog to get more details on the conflicting requests. VM: {machine.name}",
        )
