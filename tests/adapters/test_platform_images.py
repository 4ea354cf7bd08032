"""Images of the marketplace, through the real client: what there is, what must be bought, and hosts made from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from adapters.errors import StepFailed
from adapters.image_sources import list_versions, read_version
from adapters.platform_images import list_platform_versions, plan_of
from rollout.model import ROLLOUT_TAG
from rollout.policy import ImagePolicy, MarketplaceImage
from rollout.steps import ProvisionHost
from simulator.errors import AzureError
from simulator.faults import Site
from tests.activities.orders import carry_out
from tests.adapters.office import SimulatedOffice, simulated_office
from tests.simulator.arm_types import COMPUTE, request_problems, response_problems

IMAGE = "MicrosoftWindowsDesktop:office-365:win11-24h2-avd-m365"
BOUGHT = "contoso:hardened:win11"
VM = "Microsoft.Compute/virtualMachines"
OK = {"ok": True}


@pytest.fixture
def office() -> Iterator[SimulatedOffice]:
    """An office beside a marketplace with two versions of one image, and one of an image that has to be bought."""
    with simulated_office() as office:
        marketplace = office.estate.galleries.marketplace
        marketplace.publish(f"{IMAGE}:26100.9.1")
        marketplace.publish(f"{IMAGE}:26100.10.1")
        marketplace.publish(f"{BOUGHT}:1.0.0", plan=True)
        yield office


def a_marketplace_image(image: str = IMAGE, version: str = "latest") -> ImagePolicy:
    publisher, offer, sku = image.split(":")
    source = MarketplaceImage(publisher=publisher, offer=offer, sku=sku, version=version)
    return ImagePolicy(name="office", marketplace=source)


def provisioning(office: SimulatedOffice, name: str, version: str) -> Any:
    like = office.look().hosts[0]
    return carry_out(office, ProvisionHost(name, version, like.shape, "1", "a test asks for it"))


def requested_vm(office: SimulatedOffice) -> Any:
    (body,) = [body for method, path, body in office.requests if method == "PUT" and "/virtualMachines/" in path]
    return body


def test_the_versions_that_a_location_offers_are_listed(office: SimulatedOffice) -> None:
    versions = list_versions(a_marketplace_image(), (office.pool_id,))

    assert [version.id for version in versions] == [f"{IMAGE}:26100.9.1", f"{IMAGE}:26100.10.1"]
    assert {version.published_at for version in versions} == {None}


def test_an_image_that_is_not_offered_has_no_versions(office: SimulatedOffice) -> None:
    assert list_versions(a_marketplace_image("contoso:nothing:here"), (office.pool_id,)) == ()


def test_without_a_host_pool_nobody_knows_where_to_look() -> None:
    assert list_versions(a_marketplace_image(), ()) == ()


def test_a_marketplace_that_cannot_be_read_is_an_error(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "/vmimage/", Site.THROTTLED)
    with pytest.raises(StepFailed) as failed:
        list_platform_versions(office.office.subscription, "westeurope", IMAGE)
    assert failed.value.error.code == "TooManyRequests"


def test_a_version_of_the_marketplace_is_known_without_asking(office: SimulatedOffice) -> None:
    version = read_version(f"{IMAGE}:26100.9.1")

    assert version is not None
    assert (version.provisioning, version.regions) == ("Succeeded", {})
    assert office.requests == []


def test_a_gallery_version_that_the_policy_names_is_the_only_one(office: SimulatedOffice) -> None:
    office.office.publish_replicated("2.0.0")
    only = ImagePolicy(name="office", version_id=office.office.version_id("1.0.0"))

    assert [version.id for version in list_versions(only, ())] == [office.office.version_id("1.0.0")]
    gone = ImagePolicy(name="office", version_id=office.office.version_id("9.9.9"))
    assert list_versions(gone, ()) == ()


def test_a_host_is_made_from_exactly_that_version(office: SimulatedOffice) -> None:
    version = f"{IMAGE}:26100.9.1"
    assert provisioning(office, "avd-017", version) == OK
    office.wait(minutes=15)

    body = requested_vm(office)
    assert request_problems(COMPUTE, VM, body) == []
    assert body["properties"]["storageProfile"]["imageReference"] == {
        "publisher": "MicrosoftWindowsDesktop",
        "offer": "office-365",
        "sku": "win11-24h2-avd-m365",
        "version": "26100.9.1",
    }
    assert "plan" not in body
    assert office.host("avd-017").image_version_id == version


def test_what_has_to_be_bought_is_named_with_its_plan(office: SimulatedOffice) -> None:
    assert provisioning(office, "avd-017", f"{BOUGHT}:1.0.0") == OK

    body = requested_vm(office)
    assert request_problems(COMPUTE, VM, body) == []
    assert body["plan"] == {"name": "win11", "publisher": "contoso", "product": "hardened"}


def test_a_plan_is_read_once_for_all_hosts(office: SimulatedOffice) -> None:
    for name in ("avd-017", "avd-018", "avd-019"):
        assert provisioning(office, name, f"{BOUGHT}:1.0.0") == OK

    assert len([path for _, path, _ in office.requests if "/vmimage/" in path.lower()]) == 1
    assert plan_of(office.office.subscription, "westeurope", f"{IMAGE}:26100.9.1") == {}


def test_a_version_that_is_withdrawn_fails_the_step_with_azures_words(office: SimulatedOffice) -> None:
    answer = provisioning(office, "avd-017", f"{IMAGE}:26100.11.1")

    assert answer["error"]["code"] == "PlatformImageNotFound"
    assert answer["error"].get("retriable", True) is False


def test_a_vm_that_was_made_from_the_newest_says_which_that_was(office: SimulatedOffice) -> None:
    spec = office.office.spec_for("avd-020", "1.0.0")
    newest = replace(spec, image_id=f"{IMAGE}:latest", tags={ROLLOUT_TAG: "r"})
    office.estate.machines.put(office.office.machine_id("avd-020"), newest)
    office.wait(minutes=15)
    vm = office.estate.machines.get(office.office.machine_id("avd-020"))

    assert office.look(rollout="r").hosts[-1].image_version_id == f"{IMAGE}:{vm.exact_version}"
    assert vm.exact_version == "26100.10.1"


def test_what_the_simulated_azure_shows_of_such_a_vm_fits_the_published_types(office: SimulatedOffice) -> None:
    provisioning(office, "avd-017", f"{BOUGHT}:1.0.0")
    office.wait(minutes=15)
    path = f"{office.office.machine_id('avd-017')}?api-version=2026-04-01"
    body = office.arm.handle("GET", f"https://management.azure.com{path}", {}).body

    assert response_problems(COMPUTE, VM, body) == []


def test_without_its_plan_azure_refuses_the_vm(office: SimulatedOffice) -> None:
    spec = replace(office.office.spec_for("avd-017", "1.0.0"), image_id=f"{BOUGHT}:1.0.0")
    with pytest.raises(AzureError, match="requires Plan information"):
        office.estate.machines.put(office.office.machine_id("avd-017"), spec)
