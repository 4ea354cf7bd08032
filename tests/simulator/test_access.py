"""Resource Manager's check of each call: which action it needs, at which scope, and how a refusal reads."""

from __future__ import annotations

import json

import pytest

from simulator.access import Access, Need, linked_needs, need_of
from simulator.arm import Arm
from simulator.builders import MONDAY_MORNING, Office, office_pool
from simulator.clock import SteppedClock
from simulator.estate import Estate
from simulator.wire import Answer

GROUP = "/subscriptions/s/resourceGroups/rg"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/avd-001"
POOL = f"{GROUP}/providers/Microsoft.DesktopVirtualization/hostPools/hp"
SESSION = f"{POOL}/sessionHosts/h/userSessions/3"


@pytest.mark.parametrize(
    ("method", "path", "action", "scope"),
    [
        ("GET", VM, "Microsoft.Compute/virtualMachines/read", VM),
        ("PUT", VM, "Microsoft.Compute/virtualMachines/write", VM),
        ("PATCH", VM, "Microsoft.Compute/virtualMachines/write", VM),
        ("DELETE", VM, "Microsoft.Compute/virtualMachines/delete", VM),
        ("POST", f"{VM}/deallocate", "Microsoft.Compute/virtualMachines/deallocate/action", VM),
        (
            "GET",
            f"{GROUP}/providers/Microsoft.Compute/virtualMachines",
            "Microsoft.Compute/virtualMachines/read",
            GROUP,
        ),
        (
            "GET",
            f"{POOL}/sessionHosts",
            "Microsoft.DesktopVirtualization/hostPools/sessionHosts/read",
            POOL,
        ),
        (
            "POST",
            f"{SESSION}/sendMessage",
            "Microsoft.DesktopVirtualization/hostPools/sessionHosts/userSessions/sendMessage/action",
            SESSION,
        ),
        ("PATCH", f"{VM}/providers/Microsoft.Resources/tags/default", "Microsoft.Resources/tags/write", VM),
        (
            "GET",
            f"{VM}/providers/Microsoft.Authorization/permissions",
            "Microsoft.Authorization/permissions/read",
            VM,
        ),
        (
            "GET",
            "/subscriptions/s/providers/Microsoft.Compute",
            "Microsoft.Resources/subscriptions/providers/read",
            "/subscriptions/s",
        ),
        (
            "GET",
            "/subscriptions/s/providers/Microsoft.Compute/locations/westeurope/usages",
            "Microsoft.Compute/locations/usages/read",
            "/subscriptions/s/providers/Microsoft.Compute/locations/westeurope",
        ),
    ],
)
def test_the_action_follows_from_method_and_path(method: str, path: str, action: str, scope: str) -> None:
    assert need_of(method, path) == Need(action, scope)


def test_a_new_vm_needs_what_its_body_refers_to() -> None:
    address = {"properties": {"subnet": {"id": "/subnet"}}}
    body = {
        "identity": {"userAssignedIdentities": {"/identity": {}}},
        "properties": {
            "storageProfile": {"imageReference": {"id": "/galleries/g/images/i/versions/1.0.0"}},
            "networkProfile": {"networkInterfaceConfigurations": [{"properties": {"ipConfigurations": [address]}}]},
        },
    }

    assert list(linked_needs("PUT", VM, body)) == [
        ("Microsoft.Compute/galleries/images/versions/read", "/galleries/g/images/i/versions/1.0.0"),
        ("Microsoft.Compute/disks/write", GROUP),
        ("Microsoft.Network/networkInterfaces/write", GROUP),
        ("Microsoft.Network/networkInterfaces/join/action", GROUP),
        ("Microsoft.Network/virtualNetworks/subnets/join/action", "/subnet"),
        ("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", "/identity"),
    ]


def test_a_secret_of_a_key_vault_needs_the_vault() -> None:
    vault = {"secretUrl": "https://kv.vault.azure.net/secrets/s", "sourceVault": {"id": "/vault"}}
    body = {"properties": {"protectedSettingsFromKeyVault": vault}}

    assert list(linked_needs("PUT", f"{VM}/extensions/join", body)) == [
        ("Microsoft.KeyVault/vaults/deploy/action", "/vault")
    ]


def test_a_role_holds_at_its_scope_and_below_and_nowhere_else() -> None:
    access = Access()
    access.assign(GROUP, ["Microsoft.Compute/virtualMachines/read"])

    assert access.allows(Need("microsoft.compute/virtualmachines/READ", VM.upper()))
    assert access.allows(Need("Microsoft.Compute/virtualMachines/read", GROUP))
    assert not access.allows(Need("Microsoft.Compute/virtualMachines/read", "/subscriptions/s"))
    assert not access.allows(Need("Microsoft.Compute/virtualMachines/read", f"{GROUP}-2"))
    assert not access.allows(Need("Microsoft.Compute/virtualMachines/write", VM))


def test_a_refusal_has_the_form_of_resource_manager() -> None:
    office, access = _office()

    answer = _ask(office, access, "GET", office.pool_id)

    assert answer.status == 403
    assert answer.body is not None
    error = answer.body["error"]
    assert error["code"] == "AuthorizationFailed"
    assert (
        f"perform action 'Microsoft.DesktopVirtualization/hostPools/read' over scope '{office.pool_id}'"
        in (error["message"])
    )
    assert access.denied == [Need("Microsoft.DesktopVirtualization/hostPools/read", office.pool_id)]


def test_whoever_may_is_answered_and_remembered() -> None:
    office, access = _office()
    access.assign(office.pool_id, ["Microsoft.DesktopVirtualization/hostpools/read"])

    assert _ask(office, access, "GET", office.pool_id).status == 200
    assert access.used == {Need("microsoft.desktopvirtualization/hostpools/read", office.pool_id.lower())}


def test_the_caller_can_ask_what_it_may_do() -> None:
    office, access = _office()
    access.assign(office.pool_id, ["Microsoft.Authorization/permissions/read", "*/read"], ["Microsoft.Compute/*"])

    answer = _ask(office, access, "GET", f"{office.pool_id}/providers/Microsoft.Authorization/permissions")

    assert answer.body == {
        "value": [
            {
                "actions": ["*/read", "Microsoft.Authorization/permissions/read"],
                "notActions": ["Microsoft.Compute/*"],
                "dataActions": [],
                "notDataActions": [],
            }
        ]
    }


def _office() -> tuple[Office, Access]:
    return office_pool(Estate(SteppedClock(MONDAY_MORNING), seed=1), hosts=1, people=0), Access()


def _ask(office: Office, access: Access, method: str, path: str) -> Answer:
    arm = Arm(office.estate, access=access)
    return arm.handle(method, f"https://management.azure.com{path}?api-version=2024-04-03", {}, json.dumps({}))
