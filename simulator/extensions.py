"""Extensions of a virtual machine: installed one at a time, and what the ones Goldroll needs do in the guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from simulator.errors import AzureError, OperationFailure, not_found
from simulator.journal import Kind
from simulator.machines import Machine, Machines
from simulator.operations import Operation, Operations
from simulator.timings import Range, draw
from simulator.world import World, public

EXTENSION = "Microsoft.Compute/virtualMachines/extensions"
ENTRA_JOIN = "aadloginforwindows"
DOMAIN_JOIN = "jsonaddomainextension"
AGENT = "dsc"

Effect = Callable[[Machine, "Extension"], OperationFailure | None]
"""What an extension does in the guest when its installation ends; the failure it reports, if any."""


@dataclass(frozen=True, slots=True)
class ExtensionSpec:
    """What a machine is asked to install. `protected` is what Azure hands to the guest and never returns.

    `key_vault` is the reference (`secretUrl`, `sourceVault`) to a secret that holds the protected settings instead;
    every vault is taken to exist, and to hold what the extension needs.
    """

    publisher: str
    type: str
    version: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    protected: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    auto_upgrade_minor_version: bool = True
    key_vault: Mapping[str, Any] = field(default_factory=dict)


def entra_join() -> ExtensionSpec:
    """The extension that joins a machine to Entra ID."""
    return ExtensionSpec("Microsoft.Azure.ActiveDirectory", "AADLoginForWindows", "2.0")


def domain_join(domain: str, password: str = "secret") -> ExtensionSpec:  # noqa: S107  # nothing is behind it
    """The extension that joins a machine to an Active Directory domain."""
    settings = {"Name": domain, "User": f"{domain}\\joiner", "Restart": "true", "Options": 3}
    return ExtensionSpec("Microsoft.Compute", "JsonADDomainExtension", "1.3", settings, {"Password": password})


def agent(pool_name: str, token: str) -> ExtensionSpec:
    """The DSC extension that installs the Virtual Desktop agent and registers the machine with a pool."""
    settings = {"properties": {"hostPoolName": pool_name}}
    return ExtensionSpec("Microsoft.Powershell", "DSC", "2.73", settings, {"Items": {"RegistrationInfoToken": token}})


@dataclass(slots=True, eq=False)
class Extension:
    """An extension as it stands."""

    id: str
    name: str
    machine: Machine
    spec: ExtensionSpec
    provisioning_state: str = "Creating"
    error: OperationFailure | None = None
    operation: Operation | None = None
    state_since: datetime | None = None

    @property
    def busy(self) -> bool:
        """Whether it is being installed or removed."""
        return self.operation is not None and self.operation.status == "InProgress"


class Extensions:
    """The extensions of every machine."""

    def __init__(self, world: World, machines: Machines, operations: Operations, effects: Mapping[str, Effect]) -> None:
        self.world = world
        self._machines = machines
        self._operations = operations
        self._effects = effects
        self._rng = world.stream("extensions")

    @public
    def put(self, machine_id: str, name: str, spec: ExtensionSpec) -> Operation:
        """Begin to install (or install again) an extension on a running machine.

        409 while another extension of the machine is being worked on, while the machine itself is being worked on, and
        when it does not run. What the extension does in the guest it does at the end of the operation.
        """
        machine = self._ready(machine_id)
        for other in machine.extensions.values():
            if other.spec.type.lower() == spec.type.lower() and other.name.lower() != name.lower():
                raise AzureError(
                    400,
                    "BadRequest",
                    "Multiple VMExtensions per handler not supported for OS type 'Windows'. VMExtension "
                    f"'{other.name}' with handler '{spec.publisher}.{spec.type}' already added or specified in input.",
                )
        extension = Extension(f"{machine.id}/extensions/{name}", name, machine, spec, state_since=self.world.time)
        if name.lower() in machine.extensions:
            extension.provisioning_state = "Updating"
        machine.extensions[name.lower()] = extension
        operation = extension.operation = self._operations.begin(machine.region, extension.id)
        self.world.record(Kind.EXTENSION_REQUESTED, extension.id, spec.type)
        slow = machine.flaws.slow * self.world.faults.slowness(machine.id)
        seconds = draw(self._rng, self._span(spec.type), slow)
        self.world.after(seconds, self._installed, extension, operation, by=self.world.actor)
        return operation

    @public
    def delete(self, machine_id: str, name: str) -> Operation | None:
        """Begin to remove an extension; None when there is none."""
        machine = self._machines.get(machine_id)
        extension = machine.extensions.get(name.lower())
        if extension is None:
            return None
        self._ready(machine_id)
        extension.provisioning_state = "Deleting"
        operation = extension.operation = self._operations.begin(machine.region, extension.id)
        seconds = draw(self._rng, self.world.timings.remove_extension)
        self.world.after(seconds, self._removed, extension, operation, by=self.world.actor)
        return operation

    @public
    def get(self, machine_id: str, name: str) -> Extension:
        """The extension with this name, or a 404."""
        machine = self._machines.get(machine_id)
        found = machine.extensions.get(name.lower())
        if found is None:
            raise not_found(EXTENSION, f"{machine.name}/{name}", machine.group)
        return found

    def _ready(self, machine_id: str) -> Machine:
        machine = self._machines.get(machine_id)
        if machine.provisioning_state == "Deleting":
            raise AzureError(
                409,
                "OperationNotAllowed",
                f"Operation cannot be performed on the VM '{machine.name}' since the VM is marked for deletion.",
            )
        if machine.busy or any(extension.busy for extension in machine.extensions.values()):
            raise AzureError(
                409,
                "Conflict",
                "The request failed due to conflict with a concurrent request. To resolve it, please refer to "
                "https://aka.ms/activitylog to get more details on the conflicting requests.",
            )
        if not machine.running:
            raise AzureError(
                409, "OperationNotAllowed", "Cannot modify extensions in the VM when the VM is not running."
            )
        return machine

    def _span(self, kind: str) -> Range:
        timings = self.world.timings
        spans = {ENTRA_JOIN: timings.join, DOMAIN_JOIN: timings.join, AGENT: timings.install_agent}
        return spans.get(kind.lower(), timings.other_extension)

    def _installed(self, extension: Extension, operation: Operation) -> None:
        machine = extension.machine
        if operation.status != "InProgress" or self._machines.find(machine.id) is not machine:
            self._operations.cancel(operation)
            return
        effect = self._effects.get(extension.spec.type.lower())
        if not machine.running:
            error: OperationFailure | None = OperationFailure(
                "VMExtensionProvisioningTimeout",
                f"Provisioning of VM extension {extension.name} has timed out. Extension provisioning has taken too "
                "long to complete. The extension did not report a message.",
            )
        else:
            error = effect(machine, extension) if effect else None
        extension.error = error
        extension.state_since = self.world.time
        extension.provisioning_state = "Failed" if error else "Succeeded"
        self._operations.end(operation, error)
        kind = Kind.EXTENSION_FAILED if error else Kind.EXTENSION_SUCCEEDED
        self.world.record(kind, extension.id, error.message if error else extension.spec.type)

    def _removed(self, extension: Extension, operation: Operation) -> None:
        extension.machine.extensions.pop(extension.name.lower(), None)
        self._operations.end(operation)
