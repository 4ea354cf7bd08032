"""Network interfaces and OS disks: made with a machine, deleted with it or left over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from simulator import ids
from simulator.errors import AzureError
from simulator.world import World, public

if TYPE_CHECKING:
    from simulator.machines import Machine, MachineSpec


@dataclass(slots=True, eq=False)
class Attachment:
    """An interface or an OS disk; `machine` is None once nothing uses it any more: an orphan."""

    id: str
    name: str
    subscription: str
    group: str
    location: str
    machine: Machine | None
    created_at: datetime
    zone: str = ""


class Attachments:
    """Every interface and every disk, by lower-case id."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.interfaces: dict[str, Attachment] = {}
        self.disks: dict[str, Attachment] = {}

    @public
    def delete_interface(self, interface_id: str) -> bool:
        """Delete an interface that nothing uses; False when there is none."""
        return _delete(self.interfaces, interface_id)

    @public
    def delete_disk(self, disk_id: str) -> bool:
        """Delete a disk that nothing uses; False when there is none."""
        return _delete(self.disks, disk_id)

    @public
    def orphans(self) -> list[Attachment]:
        """Interfaces and disks whose machine is gone."""
        return [one for kept in (self.interfaces, self.disks) for one in kept.values() if one.machine is None]

    def refuse_taken_names(self, parts: ids.ResourceId, spec: MachineSpec, replaced: Machine | None) -> None:
        """Refuse a machine whose disk exists or whose interface is in use, except by the machine it replaces."""
        disk = self.disks.get(ids.disk_id(parts.subscription, parts.group, spec.disk_name).lower())
        if spec.disk_name and disk is not None and (replaced is None or disk.machine is not replaced):
            raise AzureError(
                409,
                "ConflictingUserInput",
                f"Disk {spec.disk_name} already exists in resource group {parts.group.upper()}. Only "
                "CreateOption.Attach is supported.",
                target="osDisk.name",
            )
        interface = self.interfaces.get(ids.interface_id(parts.subscription, parts.group, spec.interface_name).lower())
        if spec.interface_name and interface is not None and interface.machine not in (None, replaced):
            raise AzureError(
                400, "NicInUse", f"Network Interface {interface.id} is used by an existing virtual machine."
            )

    def add_interface(self, machine: Machine) -> None:
        """The interface that comes with a machine."""
        self._add(self.interfaces, _interface_id(machine), machine)

    def add_disk(self, machine: Machine) -> None:
        """The OS disk that comes with a machine, unless it is there; an ephemeral one is no resource."""
        if not machine.spec.ephemeral and _disk_id(machine).lower() not in self.disks:
            self._add(self.disks, _disk_id(machine), machine)

    def release(self, machine: Machine, *, all_go: bool = False) -> None:
        """The machine is gone: what has the delete option (with `all_go`, everything) goes along, the rest stays."""
        for kept, key, goes in (
            (self.interfaces, _interface_id(machine).lower(), machine.spec.delete_interface),
            (self.disks, _disk_id(machine).lower(), machine.spec.delete_disk),
        ):
            attachment = kept.get(key)
            if attachment is None or attachment.machine is not machine:
                continue
            attachment.machine = None
            if goes or all_go:
                del kept[key]

    def _add(self, kept: dict[str, Attachment], attachment_id: str, machine: Machine) -> None:
        kept[attachment_id.lower()] = Attachment(
            attachment_id,
            attachment_id.rsplit("/", 1)[1],
            machine.subscription,
            machine.group,
            machine.region,
            machine,
            self.world.time,
            machine.spec.zone,
        )


def _delete(kept: dict[str, Attachment], attachment_id: str) -> bool:
    found = kept.get(attachment_id.lower())
    if found is None:
        return False
    if found.machine is not None:
        raise AzureError(409, "OperationNotAllowed", f"{found.name} is attached to VM {found.machine.id}.")
    del kept[attachment_id.lower()]
    return True


def _interface_id(machine: Machine) -> str:
    return ids.interface_id(machine.subscription, machine.group, machine.interface_name)


def _disk_id(machine: Machine) -> str:
    return ids.disk_id(machine.subscription, machine.group, machine.disk_name)
