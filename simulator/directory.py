"""The directory (Microsoft Entra ID): the devices that have joined, and what stale ones get in the way of."""

from __future__ import annotations

from simulator.errors import OperationFailure
from simulator.world import World, public


class Directory:
    """Devices by computer name. Deleting a machine leaves its device behind, as in the real directory."""

    def __init__(self, world: World, names_must_be_free: bool = True) -> None:
        self.world = world
        self._names_must_be_free = names_must_be_free
        self._devices: dict[str, str] = {}

    def join(self, computer_name: str, vm_id: str) -> OperationFailure | None:
        """Join a machine; refused with the real code when another device has that name (0x801C0083)."""
        owner = self._devices.get(computer_name.lower())
        if self._names_must_be_free and owner is not None and owner != vm_id:
            return OperationFailure(
                "VMExtensionProvisioningError",
                "VM has reported a failure when processing extension 'AADLoginForWindows'. Error message: \"AAD Join "
                "failed "
                'with status code: -2145648509."',
            )
        self._devices[computer_name.lower()] = vm_id
        return None

    @public
    def devices(self) -> list[str]:
        """The names of all devices, oldest first."""
        return list(self._devices)

    @public
    def delete_device(self, computer_name: str) -> bool:
        """Remove a device; False when there is none."""
        return self._devices.pop(computer_name.lower(), None) is not None
