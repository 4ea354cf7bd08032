"""The real Azure SDK clients, pointed at an office's simulated Azure in process."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.desktopvirtualization import DesktopVirtualizationMgmtClient

from simulator.arm import Arm
from simulator.builders import Office
from simulator.transport import AnyoneCredential, transport_to
from simulator.wire import Answer, Request
from tests.simulator.building_hosts import office, pass_time

GROUP, POOL = "rg-office", "hp-office"
GALLERY = ("rg-images", "gal_office", "win11-office")
SUBNET = "/subscriptions/s/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/v/subnets/hosts"


class Clients:
    """An office, ARM in front of it, and the clients that talk to it.

    Half a minute passes with each question about a long-running operation, so that pollers come to an end.
    """

    def __init__(self, place: Office | None = None, **options: Any) -> None:
        self.place = place or office()
        self.arm = Arm(self.place.estate, retry_after=0, **options)
        self.arm.listeners.append(self._let_time_pass)
        kept: dict[str, Any] = {"retry_total": 0, "polling_interval": 0}
        subscription, anyone = self.place.subscription, AnyoneCredential()
        # Any: the clients take plain bodies where their annotations ask for models, full of Optional.
        self.compute: Any = ComputeManagementClient(anyone, subscription, transport=transport_to(self.arm), **kept)
        self.desktop: Any = DesktopVirtualizationMgmtClient(
            anyone, subscription, transport=transport_to(self.arm), **kept
        )
        self.answers: list[tuple[str, Request, Answer]] = []
        self.arm.listeners.append(lambda name, request, answer: self.answers.append((name, request, answer)))

    def _let_time_pass(self, name: str, request: Request, answer: Answer) -> None:
        if name == "operations.get":
            pass_time(self.place, seconds=30)

    @property
    def last(self) -> Answer:
        """The answer to the latest request."""
        return self.answers[-1][2]

    def pass_time(self, **spans: float) -> None:
        """Let time pass in the office."""
        pass_time(self.place, **spans)

    def token(self) -> str:
        """A fresh registration token, as a rollout gets one."""
        expires = self.place.estate.now() + timedelta(hours=2)
        info = {"expirationTime": expires.isoformat(), "registrationTokenOperation": "Update"}
        self.desktop.host_pools.update(GROUP, POOL, {"properties": {"registrationInfo": info}})
        return str(self.desktop.host_pools.retrieve_registration_token(GROUP, POOL).token)


def vm_request(name: str, version_id: str, zone: str = "1", **properties: Any) -> dict[str, Any]:
    """The body to PUT for a new session host (facts 4.1)."""
    return {
        "location": "westeurope",
        "zones": [zone],
        "tags": {"owner": "rollout"},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D4as_v5"},
            "licenseType": "Windows_Client",
            "securityProfile": {
                "securityType": "TrustedLaunch",
                "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
            },
            "storageProfile": {
                "imageReference": {"id": version_id},
                "osDisk": {
                    "name": f"{name}-os",
                    "createOption": "FromImage",
                    "deleteOption": "Delete",
                    "managedDisk": {"storageAccountType": "Premium_LRS"},
                },
            },
            "networkProfile": {
                "networkApiVersion": "2022-11-01",
                "networkInterfaceConfigurations": [
                    {
                        "name": f"{name}-nic",
                        "properties": {
                            "primary": True,
                            "deleteOption": "Delete",
                            "ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": SUBNET}}}],
                        },
                    }
                ],
            },
            "osProfile": {"computerName": name, "adminUsername": "admin1", "adminPassword": "not-kept-1A"},
            **properties,
        },
    }


def join_request() -> dict[str, Any]:
    """The body to PUT for the extension that joins Entra ID."""
    return {
        "location": "westeurope",
        "properties": {
            "publisher": "Microsoft.Azure.ActiveDirectory",
            "type": "AADLoginForWindows",
            "typeHandlerVersion": "2.0",
            "autoUpgradeMinorVersion": True,
            "settings": {"mdmId": ""},
        },
    }


def agent_request(token: str) -> dict[str, Any]:
    """The body to PUT for the extension that installs the Virtual Desktop agent (facts 4.3)."""
    return {
        "location": "westeurope",
        "properties": {
            "publisher": "Microsoft.Powershell",
            "type": "DSC",
            "typeHandlerVersion": "2.73",
            "autoUpgradeMinorVersion": True,
            "settings": {
                "modulesUrl": "https://example.net/Configuration.zip",
                "configurationFunction": "Configuration.ps1\\AddSessionHost",
                "properties": {
                    "hostPoolName": POOL,
                    "registrationInfoTokenCredential": {
                        "UserName": "PLACEHOLDER_DO_NOT_USE",
                        "Password": "PrivateSettingsRef:RegistrationInfoToken",
                    },
                    "aadJoin": True,
                },
            },
            "protectedSettings": {"Items": {"RegistrationInfoToken": token}},
        },
    }
