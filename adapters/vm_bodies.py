"""The JSON with which a session host comes into being: its VM and the extensions that join and register it."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any

from adapters.wire import Json
from rollout.model import HostShape, is_marketplace
from rollout.policy import ActiveDirectoryJoin, EntraJoin, SessionHostTemplate

NETWORK_API_VERSION = "2022-11-01"
INTUNE_ID = "0000000a-0000-0000-c000-000000000000"
"""The application id of Microsoft Intune, which the Entra extension takes as the device manager to enrol with."""

POOL_TAG = "cm-resource-parent"
"""Azure's own tag for the host pool that a VM's costs belong to. It also tells our VMs apart before they register."""

_CONFIDENTIAL, _TRUSTED = "ConfidentialVM", "TrustedLaunch"


def vm_body(
    name: str,
    image_version_id: str,
    shape: HostShape,
    zone: str,
    template: SessionHostTemplate,
    tags: dict[str, str],
    plan: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The VM of a new session host, without its administrator's password.

    `image_version_id` is a gallery version's id, or publisher:offer:sku:version of a marketplace image, for which
    `plan` is what has to be bought with it.

    `shape` is that of the host it replaces; the template wins where it says something. NIC and OS disk are made with
    the VM and deleted with it. `tags` are put on top of the inherited and the template's ones.
    """
    body: dict[str, Any] = {
        "location": shape.location,
        "tags": {**shape.tags, **template.tags, **tags},
        "properties": {
            "hardwareProfile": {"vmSize": template.vm_size or shape.vm_size},
            "storageProfile": {"imageReference": _image(image_version_id), "osDisk": _os_disk(name, shape, template)},
            "networkProfile": _network(name, template),
            "osProfile": {
                "computerName": name,
                "adminUsername": template.admin_username,
                "windowsConfiguration": {
                    "provisionVMAgent": True,
                    # The image is what gets updated: a host that patches itself is no longer the version it says.
                    "enableAutomaticUpdates": False,
                    "patchSettings": {"patchMode": "Manual"},
                },
            },
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        },
    }
    if zone:
        body["zones"] = [zone]
    if plan:
        body["plan"] = dict(plan)
    if identity := _identity(shape, template):
        body["identity"] = identity
    if security := _security(shape, template):
        body["properties"]["securityProfile"] = security
    if licence := template.license_type or shape.license_type:
        body["properties"]["licenseType"] = licence
    return body


def join_properties(join: EntraJoin | ActiveDirectoryJoin) -> dict[str, Any]:
    """The extension that joins a VM to its directory.

    The password of an Active Directory account never passes through here: Compute fetches it from Key Vault, where
    the secret's value is the extension's protected settings as JSON, `{"Password": "..."}`.
    """
    if isinstance(join, EntraJoin):
        return {
            "publisher": "Microsoft.Azure.ActiveDirectory",
            "type": "AADLoginForWindows",
            "typeHandlerVersion": "2.0",
            "autoUpgradeMinorVersion": True,
            "settings": {"mdmId": INTUNE_ID} if join.intune else {},
        }
    return {
        "publisher": "Microsoft.Compute",
        "type": "JsonADDomainExtension",
        "typeHandlerVersion": "1.3",
        "autoUpgradeMinorVersion": True,
        "settings": {
            "Name": join.domain,
            "OUPath": join.organizational_unit,
            "User": join.user,
            "Restart": "true",
            # 3 = join the domain and create the computer's account.
            "Options": 3,
        },
        "protectedSettingsFromKeyVault": {
            "secretUrl": join.password_secret_url,
            "sourceVault": {"id": join.key_vault_id},
        },
    }


def agent_properties(pool_name: str, template: SessionHostTemplate, token: str) -> dict[str, Any]:
    """The extension that installs the AVD agent and registers the host. The token is in its protected settings only."""
    join = template.join
    return {
        "publisher": "Microsoft.Powershell",
        "type": "DSC",
        "typeHandlerVersion": "2.73",
        "autoUpgradeMinorVersion": True,
        "settings": {
            "modulesUrl": template.agent_package_url,
            "configurationFunction": "Configuration.ps1\\AddSessionHost",
            "properties": {
                "hostPoolName": pool_name,
                "registrationInfoTokenCredential": {
                    "UserName": "PLACEHOLDER_DO_NOT_USE",
                    "Password": "PrivateSettingsRef:RegistrationInfoToken",
                },
                "aadJoin": isinstance(join, EntraJoin),
                "UseAgentDownloadEndpoint": True,
                "aadJoinPreview": False,
                "mdmId": INTUNE_ID if isinstance(join, EntraJoin) and join.intune else "",
                "sessionHostConfigurationLastUpdateTime": "",
            },
        },
        "protectedSettings": {"Items": {"RegistrationInfoToken": token}},
    }


def extension_body(location: str, properties: Json) -> dict[str, Any]:
    """An extension of a VM in `location`."""
    return {"location": location, "properties": dict(properties)}


def password() -> str:
    """A random administrator password of 40 characters with one of each class that Windows asks for."""
    classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.+!")
    rest = "".join(secrets.choice("".join(classes)) for _ in range(36))
    return "".join(secrets.choice(letters) for letters in classes) + rest


def _image(version_id: str) -> dict[str, str]:
    if not is_marketplace(version_id):
        return {"id": version_id}
    return dict(zip(("publisher", "offer", "sku", "version"), version_id.split(":"), strict=True))


def _os_disk(name: str, shape: HostShape, template: SessionHostTemplate) -> dict[str, Any]:
    disk: dict[str, Any] = {"name": f"{name}-os", "createOption": "FromImage", "deleteOption": "Delete"}
    # A disk type asked for in the policy means a disk that lasts, even if the replaced host had none.
    placement = template.ephemeral_placement or ("" if template.os_disk_type else shape.ephemeral_placement)
    if placement:
        return disk | {"caching": "ReadOnly", "diffDiskSettings": {"option": "Local", "placement": placement}}
    managed: dict[str, Any] = {}
    if kind := template.os_disk_type or shape.os_disk_type:
        managed["storageAccountType"] = kind
    if _security_type(shape, template) == _CONFIDENTIAL:
        managed["securityProfile"] = {"securityEncryptionType": "VMGuestStateOnly"}
    return disk | {"caching": "ReadWrite"} | ({"managedDisk": managed} if managed else {})


def _network(name: str, template: SessionHostTemplate) -> dict[str, Any]:
    address = {"name": "ipconfig1", "properties": {"primary": True, "subnet": {"id": template.subnet_id}}}
    return {
        "networkApiVersion": NETWORK_API_VERSION,
        "networkInterfaceConfigurations": [
            {
                "name": f"{name}-nic",
                "properties": {
                    "primary": True,
                    "deleteOption": "Delete",
                    "enableAcceleratedNetworking": template.accelerated_networking,
                    "ipConfigurations": [address],
                },
            }
        ],
    }


def _identity(shape: HostShape, template: SessionHostTemplate) -> dict[str, Any]:
    # The Entra extension signs in with the VM's own identity.
    system = isinstance(template.join, EntraJoin) or "systemassigned" in shape.identity_type.lower()
    kinds = (["SystemAssigned"] if system else []) + (["UserAssigned"] if shape.user_identities else [])
    if not kinds:
        return {}
    identity: dict[str, Any] = {"type": ", ".join(kinds)}
    if shape.user_identities:
        identity["userAssignedIdentities"] = {id: {} for id in shape.user_identities}
    return identity


def _security_type(shape: HostShape, template: SessionHostTemplate) -> str:
    return template.security_type or shape.security_type


def _security(shape: HostShape, template: SessionHostTemplate) -> dict[str, Any]:
    kind = _security_type(shape, template)
    profile: dict[str, Any] = {"encryptionAtHost": True} if shape.encryption_at_host else {}
    if kind in (_TRUSTED, _CONFIDENTIAL):
        inherited = kind == shape.security_type
        profile["securityType"] = kind
        profile["uefiSettings"] = {
            "secureBootEnabled": shape.secure_boot if inherited else True,
            "vTpmEnabled": shape.vtpm if inherited else True,
        }
    # "Standard" is what a VM without a security type is; naming it needs a feature that most subscriptions lack.
    return profile
