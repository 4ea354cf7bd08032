"""Virtual machines, extensions, interfaces and disks as Compute shows them, and requests for machines taken apart."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from simulator import ids
from simulator.attachments import Attachment
from simulator.extensions import EXTENSION, Extension
from simulator.machines import MACHINE, Machine, MachineSpec, Power
from simulator.wire import Json, compute_time, invalid

TENANT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
_SECRETS = ("adminPassword", "customData", "secrets")
_LEVEL = "Info"


def machine_body(machine: Machine, *, instance_view: bool = False, upper_case_group: bool = False) -> Json:
    """A machine as a GET shows it: what was asked for, without its secrets, and what Azure has added.

    Lists write the resource group in the id in upper case, as Compute does.
    """
    asked = machine.spec.body or request_body(machine.spec, machine.name)
    properties = _copied(asked.get("properties") or {})
    properties.pop("instanceView", None)  # read-only: ignored in requests
    properties.update(
        {
            "hardwareProfile": {**properties.get("hardwareProfile", {}), "vmSize": machine.spec.size},
            "provisioningState": _shown_state(machine),
            "vmId": machine.vm_id,
            "timeCreated": compute_time(machine.created_at),
            "networkProfile": _network_profile(machine),
        }
    )
    _complete_storage(machine, properties)
    if "osProfile" in properties:
        _complete_os_profile(properties["osProfile"])
    if instance_view:
        properties["instanceView"] = instance_view_body(machine)
    shown: Json = {
        "id": _upper_case_group(machine.id) if upper_case_group else machine.id,
        "name": machine.name,
        "type": MACHINE,
        "location": machine.region,
        "tags": dict(machine.tags),
        "etag": etag_of(machine),
        "properties": properties,
    }
    if machine.spec.zone:
        shown["zones"] = [machine.spec.zone]
    if machine.spec.identity:
        principal = str(uuid.uuid5(uuid.UUID(machine.vm_id), "identity"))
        shown["identity"] = {"type": "SystemAssigned", "principalId": principal, "tenantId": TENANT}
    if machine.extensions:
        shown["resources"] = [extension_body(extension) for extension in machine.extensions.values()]
    return shown


def etag_of(machine: Machine) -> str:
    """What a conditional change of the machine compares."""
    return f'"{machine.revision}"'


def _shown_state(machine: Machine) -> str:
    """A machine is Updating while one of its extensions is worked on."""
    busy = machine.provisioning_state == "Succeeded" and any(one.busy for one in machine.extensions.values())
    return "Updating" if busy else machine.provisioning_state


def _copied(body: Json) -> dict[str, Any]:
    """A copy that may be changed: through JSON, which takes a tenth of the time of copy.deepcopy."""
    return msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Any])


def instance_view_body(machine: Machine) -> Json:
    """What the instance view says (facts 4.4)."""
    statuses = [_provisioning_status(machine)]
    if machine.power is not None:
        display = {Power.RUNNING: "VM running", Power.STOPPED: "VM stopped"}.get(machine.power, f"VM {machine.power}")
        statuses.append({"code": f"PowerState/{machine.power}", "level": _LEVEL, "displayStatus": display})
    view: Json = {"hyperVGeneration": "V2", "statuses": statuses}
    if machine.running:
        view["computerName"] = machine.spec.computer_name or machine.name
        view["osName"] = "Windows 11 Enterprise multi-session"
        view["osVersion"] = "10.0.26100.1"
        view["vmAgent"] = {
            "vmAgentVersion": "2.7.41491.1172",
            "statuses": [
                {
                    "code": "ProvisioningState/succeeded",
                    "level": _LEVEL,
                    "displayStatus": "Ready",
                    "message": "GuestAgent is running and processing the extensions.",
                }
            ],
        }
        view["extensions"] = [extension_view(extension) for extension in machine.extensions.values()]
    if not machine.spec.ephemeral:
        state = {"code": "ProvisioningState/succeeded", "level": _LEVEL, "displayStatus": "Provisioning succeeded"}
        view["disks"] = [{"name": machine.disk_name, "statuses": [state]}]
    return view


def status_view_body(machine: Machine) -> Json:
    """The shorter instance view that `statusOnly=true` adds to a list."""
    return {"statuses": instance_view_body(machine)["statuses"]}


def extension_body(extension: Extension, *, instance_view: bool = False) -> Json:
    """An extension as a GET shows it: never with its protected settings."""
    properties: Json = {
        "publisher": extension.spec.publisher,
        "type": extension.spec.type,
        "typeHandlerVersion": extension.spec.version,
        "autoUpgradeMinorVersion": extension.spec.auto_upgrade_minor_version,
        "settings": _copied(dict(extension.spec.settings)),
        "provisioningState": extension.provisioning_state,
    }
    if extension.spec.key_vault:
        properties["protectedSettingsFromKeyVault"] = _copied(dict(extension.spec.key_vault))
    if instance_view:
        properties["instanceView"] = extension_view(extension)
    return {
        "id": extension.id,
        "name": extension.name,
        "type": EXTENSION,
        "location": extension.machine.region,
        "tags": dict(extension.spec.tags),
        "properties": properties,
    }


def extension_view(extension: Extension) -> Json:
    """The instance view of an extension."""
    state = extension.provisioning_state.lower()
    status: Json = {
        "code": f"ProvisioningState/{state}" + (f"/{extension.error.code}" if extension.error else ""),
        "level": "Error" if extension.error else _LEVEL,
        "displayStatus": "Ready" if state == "succeeded" else f"Provisioning {state}",
    }
    if extension.error:
        status["message"] = extension.error.message
    return {
        "name": extension.name,
        "type": f"{extension.spec.publisher}.{extension.spec.type}",
        "typeHandlerVersion": extension.spec.version,
        "statuses": [status],
    }


def disk_body(disk: Attachment) -> Json:
    """An OS disk."""
    shown: Json = {
        "id": disk.id,
        "name": disk.name,
        "type": "Microsoft.Compute/disks",
        "location": disk.location,
        "tags": {},
        "sku": {"name": "Premium_LRS", "tier": "Premium"},
        "properties": {
            "osType": "Windows",
            "hyperVGeneration": "V2",
            "creationData": {"createOption": "FromImage"},
            "diskSizeGB": 127,
            "timeCreated": compute_time(disk.created_at),
            "provisioningState": "Succeeded",
            "diskState": "Attached" if disk.machine else "Unattached",
        },
    }
    if disk.zone:
        shown["zones"] = [disk.zone]
    if disk.machine is not None:
        shown["managedBy"] = disk.machine.id
    return shown


def interface_body(interface: Attachment) -> Json:
    """A network interface, with no more than tells whether anything uses it."""
    properties: Json = {"provisioningState": "Succeeded", "primary": True}
    if interface.machine is not None:
        properties["virtualMachine"] = {"id": interface.machine.id}
    return {
        "id": interface.id,
        "name": interface.name,
        "type": "Microsoft.Network/networkInterfaces",
        "location": interface.location,
        "tags": {},
        "properties": properties,
    }


def request_body(spec: MachineSpec, name: str) -> Json:
    """The request that a machine built without one would have been made with."""
    os_disk: Json = {
        "name": spec.disk_name,
        "createOption": "FromImage",
        "caching": "ReadOnly" if spec.ephemeral else "ReadWrite",
        "deleteOption": "Delete" if spec.delete_disk else "Detach",
        "managedDisk": {"storageAccountType": "Standard_LRS" if spec.ephemeral else "Premium_LRS"},
        "diskSizeGB": 127,
    }
    if spec.ephemeral:
        os_disk["diffDiskSettings"] = {"option": "Local", "placement": "ResourceDisk"}
    return {
        "location": spec.location,
        "tags": dict(spec.tags),
        "properties": {
            "hardwareProfile": {"vmSize": spec.size},
            "licenseType": "Windows_Client",
            "additionalCapabilities": {"hibernationEnabled": False},
            "securityProfile": {
                "securityType": "TrustedLaunch",
                "encryptionAtHost": True,
                "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
            },
            "storageProfile": {"imageReference": _image_reference(spec.image_id), "osDisk": os_disk, "dataDisks": []},
            "osProfile": {
                "computerName": spec.computer_name or name,
                "adminUsername": "localadmin",
                "windowsConfiguration": {
                    "provisionVMAgent": True,
                    "enableAutomaticUpdates": False,
                    "patchSettings": {"patchMode": "Manual", "assessmentMode": "ImageDefault"},
                },
            },
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        },
    }


def parse_request(body: Json, name: str) -> MachineSpec:
    """What a PUT asks for; a 400 names what is missing or makes no sense."""
    properties = _object(body, "properties")
    location = body.get("location")
    if not isinstance(location, str) or not ids.known_region(location):
        raise invalid("The provided location is not available for resource type 'virtualMachines'.", "location")
    storage = _object(properties, "storageProfile")
    image_id = _image_id(_object(storage, "imageReference"))
    size = _object(properties, "hardwareProfile").get("vmSize")
    if not isinstance(size, str) or not size:
        raise invalid("Required parameter 'vmSize' is missing (null).", "vmSize")
    disk = _object(storage, "osDisk")
    interface, delete_interface = _interface(_object(properties, "networkProfile"))
    ephemeral = bool(disk.get("diffDiskSettings"))
    zones = body.get("zones") or [""]
    return MachineSpec(
        location=ids.normalise_region(location),
        image_id=image_id,
        size=size,
        zone=str(zones[0]),
        tags=_tags(body),
        computer_name=_computer_name(properties, name),
        interface_name=interface,
        disk_name=str(disk.get("name") or ""),
        delete_interface=delete_interface,
        delete_disk=ephemeral or str(disk.get("deleteOption", "Detach")).lower() == "delete",
        ephemeral=ephemeral,
        identity="SystemAssigned" in str((body.get("identity") or {}).get("type", "")),
        body=body,
    )


def _interface(network: Json) -> tuple[str, bool]:
    configurations = network.get("networkInterfaceConfigurations") or []
    references = network.get("networkInterfaces") or []
    if not configurations and not references:
        raise invalid("Required parameter 'networkProfile' is missing (null).", "networkProfile")
    if not configurations:
        chosen = references[0]
        name = str(chosen.get("id", "")).rsplit("/", 1)[-1]
    else:
        if not network.get("networkApiVersion"):
            raise invalid(
                "networkApiVersion must be specified when networkInterfaceConfigurations are used.", "networkApiVersion"
            )
        chosen = configurations[0]
        name = str(chosen.get("name", ""))
        addresses = _object(chosen, "properties").get("ipConfigurations") or [{}]
        if not _object(_object(addresses[0], "properties"), "subnet").get("id"):
            raise invalid("Required parameter 'subnet' is missing (null).", "subnet")
    option = str(_object(chosen, "properties").get("deleteOption", "Detach"))
    return name, option.lower() == "delete"


def _computer_name(properties: Json, name: str) -> str:
    profile = _object(properties, "osProfile")
    for required in ("adminUsername", "adminPassword"):
        if not profile.get(required):
            raise invalid(f"Required parameter '{required}' is missing (null).", required)
    return str(profile.get("computerName") or name)


def _tags(body: Json) -> dict[str, str]:
    tags = _object(body, "tags")
    if not all(isinstance(value, str) for value in tags.values()):
        raise invalid("The tags must be strings.", "tags")
    return dict(tags)


def _object(parent: Any, key: str) -> Json:
    found = (parent.get(key) if isinstance(parent, dict) else None) or {}
    if not isinstance(found, dict):
        raise invalid(f"The value of '{key}' is not an object.", key)
    return found


def _network_profile(machine: Machine) -> Json:
    return {
        "networkInterfaces": [
            {
                "id": ids.interface_id(machine.subscription, machine.group, machine.interface_name),
                "properties": {
                    "primary": True,
                    "deleteOption": "Delete" if machine.spec.delete_interface else "Detach",
                },
            }
        ]
    }


def _image_id(reference: Json) -> str:
    """What the reference names: the id of a gallery's image, or publisher:offer:sku:version of the marketplace."""
    if isinstance(found := reference.get("id"), str) and found:
        return found
    parts = [reference.get(key) for key in ("publisher", "offer", "sku", "version")]
    if not all(isinstance(part, str) and part for part in parts):
        raise invalid("Required parameter 'imageReference' is missing (null).", "imageReference")
    return ":".join(str(part) for part in parts)


def _image_reference(image_id: str) -> Json:
    if image_id.startswith("/"):
        return {"id": image_id}
    return dict(zip(("publisher", "offer", "sku", "version"), image_id.split(":"), strict=True))


def _complete_storage(machine: Machine, properties: Json) -> None:
    storage = properties.setdefault("storageProfile", {})
    storage["imageReference"] = {**_image_reference(machine.image_id), "exactVersion": machine.exact_version}
    disk = storage.setdefault("osDisk", {})
    disk.update({"osType": "Windows", "name": machine.disk_name, "createOption": disk.get("createOption", "FromImage")})
    disk["deleteOption"] = "Delete" if machine.spec.delete_disk else "Detach"
    disk.setdefault("diskSizeGB", 127)
    managed = disk.setdefault("managedDisk", {})
    managed["id"] = ids.disk_id(machine.subscription, machine.group, machine.disk_name)
    storage.setdefault("dataDisks", [])


def _complete_os_profile(profile: Json) -> None:
    for secret in _SECRETS:
        profile.pop(secret, None)
    profile["secrets"] = []
    profile["allowExtensionOperations"] = True
    profile["requireGuestProvisionSignal"] = True


def _provisioning_status(machine: Machine) -> Json:
    state = machine.provisioning_state.lower()
    status: Json = {
        "code": f"ProvisioningState/{state}" + (f"/{machine.error.code}" if machine.error else ""),
        "level": "Error" if machine.error else _LEVEL,
        "displayStatus": f"Provisioning {state}",
    }
    if machine.error:
        status["message"] = machine.error.message
    if machine.state_since is not None:
        status["time"] = compute_time(machine.state_since)
    return status


def _upper_case_group(machine_id: str) -> str:
    parts = machine_id.split("/")
    parts[4] = parts[4].upper()
    return "/".join(parts)
