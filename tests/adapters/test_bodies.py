"""What is sent to Azure: it has the shape that Microsoft publishes, and says what the policy and the old host say."""

from __future__ import annotations

import string
from typing import Any

import pytest
from msgspec import structs

from adapters.vm_bodies import agent_properties, extension_body, join_properties, password, vm_body
from rollout.model import HostShape
from rollout.policy import ActiveDirectoryJoin, EntraJoin, SessionHostTemplate
from tests.adapters.office import SUBNET
from tests.simulator.arm_types import COMPUTE, request_problems

VM = "Microsoft.Compute/virtualMachines"
EXTENSION = "Microsoft.Compute/virtualMachines/extensions"
IMAGE = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/galleries/gal/images/win11/versions/2.0.0"
ENTRA = SessionHostTemplate(name_prefix="avd", subnet_id=SUBNET, join=EntraJoin())
DOMAIN = ActiveDirectoryJoin(
    domain="contoso.com",
    user="contoso\\joiner",
    password_secret_url="https://vault.vault.azure.net/secrets/join/1",
    key_vault_id="/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/vault",
)
PLAIN = HostShape(location="westeurope", vm_size="Standard_D4as_v5", os_disk_type="Premium_LRS")
RICH = HostShape(
    location="westeurope",
    vm_size="Standard_D4as_v5",
    ephemeral_placement="ResourceDisk",
    security_type="TrustedLaunch",
    secure_boot=True,
    vtpm=False,
    encryption_at_host=True,
    license_type="Windows_Client",
    identity_type="SystemAssigned, UserAssigned",
    user_identities=(
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a",
    ),
    tags={"cost": "42", "owner": "old"},
)


def body(shape: HostShape = PLAIN, template: SessionHostTemplate = ENTRA, **tags: str) -> dict[str, Any]:
    return vm_body("avd-017", IMAGE, shape, "2", template, tags)


@pytest.mark.parametrize("shape", [PLAIN, RICH, structs.replace(PLAIN, security_type="ConfidentialVM")])
@pytest.mark.parametrize("join", [EntraJoin(), DOMAIN])
def test_the_body_of_a_vm_has_the_published_shape(shape: HostShape, join: EntraJoin | ActiveDirectoryJoin) -> None:
    assert request_problems(COMPUTE, VM, body(shape, structs.replace(ENTRA, join=join))) == []


@pytest.mark.parametrize(
    "properties",
    [
        join_properties(EntraJoin()),
        join_properties(EntraJoin(intune=True)),
        join_properties(DOMAIN),
        agent_properties("hp-office", ENTRA, "token"),
    ],
)
def test_the_body_of_an_extension_has_the_published_shape(properties: dict[str, Any]) -> None:
    assert request_problems(COMPUTE, EXTENSION, extension_body("westeurope", properties)) == []


def test_the_image_is_pinned_to_one_version() -> None:
    assert body()["properties"]["storageProfile"]["imageReference"] == {"id": IMAGE}


def test_a_vm_that_joins_entra_has_an_identity_of_its_own() -> None:
    assert body()["identity"] == {"type": "SystemAssigned"}


def test_identities_are_inherited() -> None:
    identity = body(RICH)["identity"]

    assert identity["type"] == "SystemAssigned, UserAssigned"
    assert list(identity["userAssignedIdentities"]) == list(RICH.user_identities)


def test_a_vm_that_joins_a_domain_needs_no_identity() -> None:
    assert "identity" not in body(template=structs.replace(ENTRA, join=DOMAIN))


def test_an_ephemeral_disk_is_inherited_with_its_place() -> None:
    disk = body(RICH)["properties"]["storageProfile"]["osDisk"]

    assert disk["diffDiskSettings"] == {"option": "Local", "placement": "ResourceDisk"}
    assert disk["caching"] == "ReadOnly"
    assert "managedDisk" not in disk


def test_a_disk_type_in_the_policy_ends_ephemeral_disks() -> None:
    template = structs.replace(ENTRA, os_disk_type="StandardSSD_LRS")
    disk = body(RICH, template)["properties"]["storageProfile"]["osDisk"]

    assert "diffDiskSettings" not in disk
    assert disk["managedDisk"] == {"storageAccountType": "StandardSSD_LRS"}


def test_trusted_launch_is_inherited_as_it_was() -> None:
    assert body(RICH)["properties"]["securityProfile"] == {
        "encryptionAtHost": True,
        "securityType": "TrustedLaunch",
        "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": False},
    }


def test_trusted_launch_asked_for_anew_comes_with_all_its_protection() -> None:
    template = structs.replace(ENTRA, security_type="TrustedLaunch")

    assert body(PLAIN, template)["properties"]["securityProfile"]["uefiSettings"] == {
        "secureBootEnabled": True,
        "vTpmEnabled": True,
    }


def test_standard_security_is_not_named() -> None:
    assert "securityProfile" not in body(structs.replace(PLAIN, security_type="Standard"))["properties"]


def test_tags_come_from_the_old_host_then_the_policy_then_the_rollout() -> None:
    template = structs.replace(ENTRA, tags={"owner": "policy", "rollout": "policy"})

    assert body(RICH, template, rollout="rollout")["tags"] == {"cost": "42", "owner": "policy", "rollout": "rollout"}


def test_a_host_without_a_zone_names_none() -> None:
    assert "zones" not in vm_body("avd-017", IMAGE, PLAIN, "", ENTRA, {})


def test_intune_is_named_to_both_extensions() -> None:
    template = structs.replace(ENTRA, join=EntraJoin(intune=True))

    join = join_properties(template.join)["settings"]["mdmId"]
    assert agent_properties("hp", template, "t")["settings"]["properties"]["mdmId"] == join
    assert join == "0000000a-0000-0000-c000-000000000000"


def test_passwords_are_strong_and_never_the_same() -> None:
    passwords = {password() for _ in range(50)}

    assert len(passwords) == 50
    for one in passwords:
        for letters in (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.+!"):
            assert set(one) & set(letters)
