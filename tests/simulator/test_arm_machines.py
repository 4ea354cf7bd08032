"""Compute behind ARM's wire format, asked by the real client of the Azure SDK."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
)

from simulator.faults import Site
from simulator.images import Flaws, Takes
from tests.simulator.azure_clients import GALLERY, GROUP, POOL, Clients, agent_request, join_request, vm_request
from tests.simulator.building_hosts import office


def make(clients: Clients, name: str, version: str = "1.0.0", **options: object) -> None:
    body = vm_request(name, clients.place.version_id(version))
    clients.compute.virtual_machines.begin_create_or_update(
        GROUP,
        name,
        body,
        **options,
    ).result()


def test_a_machine_is_made_joined_and_registered_from_end_to_end() -> None:
    clients = Clients()
    clients.place.publish_replicated("1.1.0")
    make(clients, "avd-010", "1.1.0")
    extensions = clients.compute.virtual_machine_extensions
    extensions.begin_create_or_update(GROUP, "avd-010", "join", join_request()).result()
    agent = agent_request(clients.token())
    done = extensions.begin_create_or_update(GROUP, "avd-010", "agent", agent).result()
    assert done.provisioning_state == "Succeeded"
    clients.pass_time(minutes=20)
    host = clients.desktop.session_hosts.get(GROUP, POOL, "avd-010")
    assert (host.name, host.status, host.allow_new_session) == (f"{POOL}/avd-010", "Available", True)
    machine = clients.compute.virtual_machines.get(GROUP, "avd-010")
    assert machine.storage_profile.image_reference.exact_version == "1.1.0"
    assert machine.vm_id == host.virtual_machine_id


def test_a_new_machine_is_answered_with_201_and_where_to_ask() -> None:
    clients = Clients()
    body = vm_request("avd-010", clients.place.version_id("1.0.0"))
    poller = clients.compute.virtual_machines.begin_create_or_update(GROUP, "avd-010", body, polling=False)
    assert poller.result().provisioning_state == "Creating"
    assert clients.last.status == 201
    assert "/locations/westeurope/operations/" in clients.last.headers["Azure-AsyncOperation"]
    assert "Retry-After" in clients.last.headers


def test_what_comes_back_has_no_password_and_an_interface_instead_of_its_configuration() -> None:
    clients = Clients()
    make(clients, "avd-010")
    body = clients.compute.virtual_machines.get(GROUP, "avd-010").as_dict()
    assert "adminPassword" not in body["properties"]["osProfile"]
    network = body["properties"]["networkProfile"]
    assert network.keys() == {"networkInterfaces"}
    assert network["networkInterfaces"][0]["id"].endswith("/networkInterfaces/avd-010-nic")
    assert body["identity"]["principalId"]


def test_read_only_properties_of_a_request_are_ignored() -> None:
    clients = Clients()
    body = vm_request("avd-010", clients.place.version_id("1.0.0"), vmId="mine", provisioningState="Perfect")
    body["properties"]["instanceView"] = {"statuses": []}
    clients.compute.virtual_machines.begin_create_or_update(GROUP, "avd-010", body).result()
    shown = clients.compute.virtual_machines.get(GROUP, "avd-010").as_dict()["properties"]
    assert shown["vmId"] != "mine"
    assert shown["provisioningState"] == "Succeeded"
    assert "instanceView" not in shown


def test_a_machine_asked_for_only_if_missing_is_a_412_when_it_exists() -> None:
    clients = Clients()
    only_if_missing: dict[str, Any] = {"etag": "*", "match_condition": MatchConditions.IfMissing}
    make(clients, "avd-010", **only_if_missing)
    with pytest.raises(ResourceExistsError) as refused:
        make(clients, "avd-010", **only_if_missing)
    assert refused.value.status_code == 412


def test_a_failed_allocation_is_in_the_status_document() -> None:
    clients = Clients()
    clients.place.estate.quota.set_stock("westeurope", "Standard_D4as_v5", "1", 0)
    with pytest.raises(HttpResponseError) as failed:
        make(clients, "avd-010")
    assert failed.value.error is not None
    assert failed.value.error.code == "ZonalAllocationFailed"
    state = clients.compute.virtual_machines.get(GROUP, "avd-010", expand="instanceView")
    assert state.provisioning_state == "Failed"
    assert state.instance_view.statuses[0].code == "ProvisioningState/failed/ZonalAllocationFailed"


def test_no_quota_is_a_409_with_the_figures() -> None:
    clients = Clients(office(hosts=3, spare_hosts=0))
    with pytest.raises(HttpResponseError, match="Current Limit: 12, Current Usage: 12, Additional Required: 4") as full:
        make(clients, "avd-010")
    assert (full.value.status_code, full.value.error and full.value.error.code) == (409, "OperationNotAllowed")


def test_the_usages_show_the_quota() -> None:
    clients = Clients(office(hosts=3, spare_hosts=2))
    usage = next(iter(clients.compute.usage.list("westeurope")))
    assert (usage.name.value, usage.current_value, usage.limit) == ("cores", 12, 20)


def test_an_image_that_has_not_arrived_is_a_404() -> None:
    clients = Clients()
    clients.place.publish("1.1.0", takes={"westeurope": Takes(timedelta(hours=2))})
    with pytest.raises(ResourceNotFoundError) as missing:
        make(clients, "avd-010", "1.1.0")
    assert missing.value.error is not None
    assert (missing.value.error.code, missing.value.error.target) == ("GalleryImageNotFound", "imageReference")


@pytest.mark.parametrize(
    ("missing", "target"),
    [
        (("hardwareProfile",), "vmSize"),
        (("storageProfile", "imageReference"), "imageReference"),
        (("networkProfile",), "networkProfile"),
        (("networkProfile", "networkApiVersion"), "networkApiVersion"),
        (("osProfile", "adminPassword"), "adminPassword"),
    ],
)
def test_a_request_that_lacks_something_is_a_400_that_names_it(missing: tuple[str, ...], target: str) -> None:
    clients = Clients()
    body = vm_request("avd-010", clients.place.version_id("1.0.0"))
    inner = body["properties"]
    for key in missing[:-1]:
        inner = inner[key]
    del inner[missing[-1]]
    with pytest.raises(HttpResponseError) as refused:
        clients.compute.virtual_machines.begin_create_or_update(GROUP, "avd-010", body)
    assert refused.value.status_code == 400
    assert refused.value.error is not None
    assert refused.value.error.target == target


def test_tags_are_replaced_by_a_patch() -> None:
    clients = Clients()
    clients.compute.virtual_machines.begin_update(GROUP, "avd-000", {"tags": {"a": "1"}}).result()
    assert clients.compute.virtual_machines.get(GROUP, "avd-000").tags == {"a": "1"}


def test_a_machine_is_deleted_with_what_belongs_to_it() -> None:
    clients = Clients()
    clients.compute.virtual_machines.begin_delete(GROUP, "avd-000", force_deletion=True).result()
    with pytest.raises(ResourceNotFoundError) as gone:
        clients.compute.virtual_machines.get(GROUP, "avd-000")
    assert gone.value.error is not None
    assert gone.value.error.code == "ResourceNotFound"
    assert [disk.name for disk in clients.compute.disks.list_by_resource_group(GROUP)] == ["avd-001-os", "avd-002-os"]
    clients.compute.virtual_machines.begin_delete(GROUP, "avd-000").result()
    assert clients.last.status == 204


def test_the_power_of_machines_is_in_the_list_with_status_only() -> None:
    clients = Clients(office(hosts=3, powered_off=1))
    clients.compute.virtual_machines.begin_deallocate(GROUP, "avd-000").result()
    codes = {}
    for machine in clients.compute.virtual_machines.list_all(status_only="true"):
        codes[machine.name] = machine.instance_view.statuses[-1].code
    assert codes == {
        "avd-000": "PowerState/deallocated",
        "avd-001": "PowerState/running",
        "avd-002": "PowerState/deallocated",
    }


def test_lists_write_the_group_of_a_machine_in_upper_case() -> None:
    clients = Clients()
    for machine in clients.compute.virtual_machines.list(GROUP):
        assert "/resourceGroups/RG-OFFICE/" in machine.id


def test_a_machine_is_stopped_and_started() -> None:
    clients = Clients()
    machines = clients.compute.virtual_machines
    machines.begin_power_off(GROUP, "avd-000").result()
    stopped = machines.instance_view(GROUP, "avd-000").statuses
    assert stopped[-1].code == "PowerState/stopped"
    machines.begin_start(GROUP, "avd-000").result()
    running = machines.instance_view(GROUP, "avd-000")
    assert running.vm_agent.statuses[0].display_status == "Ready"


def test_protected_settings_never_come_back() -> None:
    clients = Clients()
    make(clients, "avd-010")
    token = clients.token()
    extensions = clients.compute.virtual_machine_extensions
    extensions.begin_create_or_update(GROUP, "avd-010", "agent", agent_request(token)).result()
    extension = extensions.get(GROUP, "avd-010", "agent", expand="instanceView")
    assert extension.provisioning_state == "Succeeded"
    seen = [answer.body for name, _, answer in clients.answers if "Registration" not in name]
    assert token not in str(seen)


def test_a_failed_extension_says_why() -> None:
    clients = Clients()
    make(clients, "avd-010")
    extensions = clients.compute.virtual_machine_extensions
    with pytest.raises(HttpResponseError, match="INVALID_TOKEN"):
        extensions.begin_create_or_update(GROUP, "avd-010", "agent", agent_request("x")).result()
    listed = extensions.list(GROUP, "avd-010").value or []
    assert [(one.name, one.provisioning_state) for one in listed] == [("agent", "Failed")]


def test_two_extensions_at_once_are_a_conflict() -> None:
    clients = Clients()
    make(clients, "avd-010")
    extensions = clients.compute.virtual_machine_extensions
    extensions.begin_create_or_update(GROUP, "avd-010", "join", join_request(), polling=False)
    with pytest.raises(ResourceExistsError) as conflict:
        extensions.begin_create_or_update(GROUP, "avd-010", "agent", agent_request("x"), polling=False)
    assert conflict.value.error is not None
    assert conflict.value.error.code == "Conflict"


def test_an_extension_can_be_removed() -> None:
    clients = Clients()
    make(clients, "avd-010")
    extensions = clients.compute.virtual_machine_extensions
    extensions.begin_create_or_update(GROUP, "avd-010", "join", join_request()).result()
    extensions.begin_delete(GROUP, "avd-010", "join").result()
    with pytest.raises(ResourceNotFoundError):
        extensions.get(GROUP, "avd-010", "join")


@pytest.mark.parametrize(("flaws", "code"), [(Flaws(), 0), (Flaws(smoke_test_fails=True), 1)])
def test_a_smoke_test_runs_in_the_guest(flaws: Flaws, code: int) -> None:
    clients = Clients()
    clients.place.publish_replicated("1.1.0", flaws)
    make(clients, "avd-010", "1.1.0")
    commands = clients.compute.virtual_machine_run_commands
    body = {"location": "westeurope", "properties": {"source": {"script": "exit 0"}}}
    commands.begin_create_or_update(GROUP, "avd-010", "smoke", body).result()
    seen = commands.get_by_virtual_machine(GROUP, "avd-010", "smoke", expand="instanceView")
    assert (seen.provisioning_state, seen.instance_view.exit_code) == ("Succeeded", code)


def test_throttling_comes_with_its_header_and_no_error_object() -> None:
    clients = Clients()
    clients.place.estate.faults.fail_next("GET", "avd-000$", Site.THROTTLED)
    with pytest.raises(HttpResponseError) as throttled:
        clients.compute.virtual_machines.get(GROUP, "avd-000")
    assert throttled.value.status_code == 429
    assert clients.last.headers["x-ms-ratelimit-remaining-resource"] == "Microsoft.Compute/LowCostGet;0"
    assert int(clients.last.headers["Retry-After"]) > 0
    assert clients.last.body is not None
    assert clients.last.body["code"] == "OperationNotAllowed"


def test_a_lost_response_is_a_broken_connection_after_the_change() -> None:
    clients = Clients()
    clients.place.estate.faults.fail_next("PUT", "avd-010$", Site.LOST_RESPONSE)
    with pytest.raises(ServiceRequestError):
        make(clients, "avd-010")
    assert clients.compute.virtual_machines.get(GROUP, "avd-010").provisioning_state == "Creating"


def test_a_stale_list_misses_what_was_just_made() -> None:
    clients = Clients()
    clients.place.estate.faults.fail_next("LIST", "virtualMachines$", Site.STALE_LIST)
    assert len(list(clients.compute.virtual_machines.list(GROUP))) == 3
    make(clients, "avd-010")
    assert len(list(clients.compute.virtual_machines.list(GROUP))) == 3
    assert len(list(clients.compute.virtual_machines.list(GROUP))) == 4


def test_gallery_versions_are_read_with_their_replication() -> None:
    clients = Clients()
    clients.place.publish("1.1.0", ["westeurope", "northeurope"], takes={"westeurope": Takes(timedelta(hours=1))})
    clients.pass_time(minutes=30)
    versions = clients.compute.gallery_image_versions
    version = versions.get(*GALLERY, "1.1.0", expand="ReplicationStatus")
    assert version.replication_status.aggregated_state == "InProgress"
    summary = version.replication_status.summary or []
    assert (summary[0].region, summary[0].state, summary[0].progress) == ("West Europe", "Replicating", 50)
    assert versions.get(*GALLERY, "1.1.0").replication_status is None
    assert [one.name for one in versions.list_by_gallery_image(*GALLERY)] == ["1.0.0", "1.1.0"]


def test_a_version_is_published_changed_and_deleted_over_the_wire() -> None:
    clients = Clients()
    versions = clients.compute.gallery_image_versions
    body = {
        "location": "westeurope",
        "properties": {
            "publishingProfile": {"targetRegions": [{"name": "West Europe", "regionalReplicaCount": 2}]},
            "storageProfile": {"source": {"id": clients.place.machine_id("golden")}},
        },
    }
    made = versions.begin_create_or_update(*GALLERY, "2.0.0", body, polling=False).result()
    assert made.provisioning_state == "Creating"
    assert "/capsOperations/" in clients.last.headers["Azure-AsyncOperation"]
    clients.pass_time(hours=2)
    patch = {"properties": {"publishingProfile": {"excludeFromLatest": True}}}
    versions.begin_update(*GALLERY, "2.0.0", patch).result()
    version = versions.get(*GALLERY, "2.0.0")
    assert version.publishing_profile.exclude_from_latest is True
    assert version.provisioning_state == "Succeeded"
    versions.begin_delete(*GALLERY, "2.0.0").result()
    with pytest.raises(ResourceNotFoundError):
        versions.get(*GALLERY, "2.0.0")


def test_galleries_and_definitions_are_listed() -> None:
    clients = Clients()
    assert [one.name for one in clients.compute.galleries.list()] == ["gal_office"]
    assert [one.name for one in clients.compute.galleries.list_by_resource_group("rg-images")] == ["gal_office"]
    assert clients.compute.galleries.get("rg-images", "gal_office").location == "westeurope"
    images = clients.compute.gallery_images
    assert [one.name for one in images.list_by_gallery("rg-images", "gal_office")] == ["win11-office"]
    assert images.get("rg-images", "gal_office", "win11-office").os_type == "Windows"


def test_a_change_on_the_condition_of_an_old_etag_is_refused() -> None:
    clients = Clients()
    seen = clients.compute.virtual_machines.get(GROUP, "avd-000").as_dict()["etag"]
    change = {"etag": seen, "match_condition": MatchConditions.IfNotModified, "polling": False}
    clients.compute.virtual_machines.begin_update(GROUP, "avd-000", {"tags": {"n": "1"}}, **change)

    with pytest.raises(HttpResponseError) as refused:
        clients.compute.virtual_machines.begin_update(GROUP, "avd-000", {"tags": {"n": "2"}}, **change)

    assert refused.value.status_code == 412
    assert clients.compute.virtual_machines.get(GROUP, "avd-000").as_dict()["tags"] == {"n": "1"}
