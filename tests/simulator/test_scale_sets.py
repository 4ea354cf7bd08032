"""Scale sets and soft delete through the real client libraries."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from simulator import ids
from tests.simulator.azure_clients import GALLERY, GROUP, Clients


def a_scale_set(clients: Clients, name: str, image: str, **described: object) -> None:
    place = clients.place
    scale_set_id = ids.scale_set_id(place.subscription, GROUP, name)
    place.estate.scale_sets.place(scale_set_id, "westeurope", image, **described)  # type: ignore[arg-type]


def test_the_machines_of_a_flexible_scale_set_are_ordinary_ones() -> None:
    clients = Clients()
    a_scale_set(clients, "web", clients.place.definition_id, capacity=2)

    machines = {vm.name: vm for vm in clients.compute.virtual_machines.list_all()}
    assert machines["web_0"].virtual_machine_scale_set.id.endswith("/virtualMachineScaleSets/web")
    assert machines["web_1"].storage_profile.image_reference.exact_version == "1.0.0"
    with pytest.raises(HttpResponseError, match="Flexible"):
        list(clients.compute.virtual_machine_scale_set_vms.list(GROUP, "web"))


def test_a_uniform_scale_set_keeps_its_machines_to_itself() -> None:
    clients = Clients()
    a_scale_set(clients, "web", clients.place.definition_id, capacity=2, flexible=False)

    (instance, _) = clients.compute.virtual_machine_scale_set_vms.list(GROUP, "web")
    assert instance.storage_profile.image_reference.exact_version == "1.0.0"
    assert "web_0" not in {vm.name for vm in clients.compute.virtual_machines.list_all()}


def test_a_new_model_leaves_the_machines_that_are_there() -> None:
    clients = Clients()
    a_scale_set(clients, "web", clients.place.version_id("1.0.0"), capacity=1, flexible=False)
    clients.place.publish_replicated("1.1.0")
    scale_set_id = ids.scale_set_id(clients.place.subscription, GROUP, "web")
    clients.place.estate.scale_sets.update_model(scale_set_id, clients.place.version_id("1.1.0"))

    (found,) = clients.compute.virtual_machine_scale_sets.list_all()
    assert found.virtual_machine_profile.storage_profile.image_reference.id.endswith("/versions/1.1.0")
    (instance,) = clients.compute.virtual_machine_scale_set_vms.list(GROUP, "web")
    assert (instance.latest_model_applied, instance.storage_profile.image_reference.exact_version) == (False, "1.0.0")


def test_a_scale_set_that_does_not_exist_is_a_404() -> None:
    with pytest.raises(ResourceNotFoundError):
        Clients().compute.virtual_machine_scale_sets.get(GROUP, "web")


def with_soft_delete(days: int = 7) -> Clients:
    clients = Clients()
    clients.place.estate.galleries.gallery(clients.place.definition_id.split("/images/")[0]).soft_delete_days = days
    return clients


def test_a_gallery_tells_its_soft_delete_policy() -> None:
    gallery = with_soft_delete(14).compute.galleries.get(*GALLERY[:2])

    assert gallery.soft_delete_policy.is_soft_delete_enabled is True
    assert gallery.soft_delete_policy.retention_period_in_days == 14
    assert Clients().compute.galleries.get(*GALLERY[:2]).soft_delete_policy is None


def test_a_version_deleted_softly_is_listed_elsewhere_and_can_be_restored() -> None:
    clients = with_soft_delete()
    clients.compute.gallery_image_versions.begin_delete(*GALLERY, "1.0.0").result()

    assert list(clients.compute.gallery_image_versions.list_by_gallery_image(*GALLERY)) == []
    (kept,) = clients.compute.soft_deleted_resource.list_by_artifact_name(*GALLERY[:2], "Images", GALLERY[2])
    assert kept.resource_arm_id == clients.place.version_id("1.0.0")
    restored = clients.compute.gallery_image_versions.begin_update(
        *GALLERY, "1.0.0", {"properties": {"restore": True, "storageProfile": {}}}
    ).result()
    assert restored.provisioning_state == "Succeeded"


def test_what_was_deleted_softly_is_gone_after_its_time() -> None:
    clients = with_soft_delete()
    clients.compute.gallery_image_versions.begin_delete(*GALLERY, "1.0.0").result()
    clients.pass_time(days=8)

    assert list(clients.compute.soft_deleted_resource.list_by_artifact_name(*GALLERY[:2], "Images", GALLERY[2])) == []


def test_soft_delete_can_be_bypassed() -> None:
    clients = with_soft_delete()
    clients.compute.gallery_image_versions.begin_delete(*GALLERY, "1.0.0", bypass_soft_delete=True).result()

    assert list(clients.compute.soft_deleted_resource.list_by_artifact_name(*GALLERY[:2], "Images", GALLERY[2])) == []


def test_a_version_that_is_being_deleted_cannot_be_changed() -> None:
    clients = Clients()
    clients.compute.gallery_image_versions.begin_delete(*GALLERY, "1.0.0", polling=False)

    with pytest.raises(HttpResponseError, match="being deleted"):
        clients.compute.gallery_image_versions.begin_update(*GALLERY, "1.0.0", {"tags": {"a": "b"}})


def test_the_safety_profile_can_be_changed() -> None:
    clients = Clients()
    safety = {"blockDeletionBeforeEndOfLife": True, "allowDeletionOfReplicatedLocations": False}
    body = {"properties": {"safetyProfile": safety}}
    changed = clients.compute.gallery_image_versions.begin_update(*GALLERY, "1.0.0", body).result()

    assert changed.safety_profile.block_deletion_before_end_of_life is True
    assert changed.safety_profile.allow_deletion_of_replicated_locations is False
