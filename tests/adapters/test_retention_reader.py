"""Who uses an image's versions, read through the adapters from a simulated Azure."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.errors import StepFailed
from adapters.image_users import LATEST, ImageNames, names_of, version_used
from adapters.permissions import actions_of
from adapters.retention_reader import observe_versions
from rollout.model import short_version
from rollout.retention import RetentionSnapshot, VersionUsers
from rollout.verdicts import VERDICT_TAG
from simulator import ids
from simulator.builders import SUBSCRIPTION
from simulator.errors import AzureError
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice

OTHER = "99999999-2222-4333-8444-555555555555"
DEFINITION = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-images/providers/Microsoft.Compute/galleries/gal/images/i"
)
NAMES = ImageNames(DEFINITION, "uniq", ("contoso-1234",))


def look(office: SimulatedOffice, *subscriptions: str, **fields: Any) -> RetentionSnapshot:
    given = {"running": {}, "unreadable": (), **fields}
    return observe_versions(office.office.definition_id, subscriptions or (SUBSCRIPTION,), now=office.clock(), **given)


def a_scale_set(office: SimulatedOffice, image: str, name: str = "web", **described: Any) -> None:
    office.estate.add_group(OTHER, "rg-web")
    office.access.assign(f"/subscriptions/{OTHER}", actions_of("subscription_reader"))
    office.estate.scale_sets.place(ids.scale_set_id(OTHER, "rg-web", name), "westeurope", image, **described)


# ---------------------------------------------------------------------------------------------------- the versions


def test_a_version_comes_with_all_that_retention_goes_by(office: SimulatedOffice) -> None:
    version = office.estate.galleries.version(office.office.version_id("1.0.0"))
    version.block_deletion_before_end_of_life, version.allow_deletion_of_replicated_locations = True, False
    end = office.clock().replace(microsecond=0)
    office.estate.galleries.update(version.id, end_of_life=end, tags={VERDICT_TAG: "good"})

    (read,) = look(office).versions
    assert (read.end_of_life, read.blocks_early_deletion, read.keeps_regions) == (end, True, True)
    assert (read.tags, read.published_at) == ({VERDICT_TAG: "good"}, version.published_at)


def test_a_gallery_with_soft_delete_says_how_long_a_version_can_be_restored(office: SimulatedOffice) -> None:
    assert look(office).restorable_days == 0

    office.estate.galleries.gallery(office.office.definition_id.split("/images/")[0]).soft_delete_days = 14
    assert look(office).restorable_days == 14


def test_versions_that_cannot_be_listed_are_an_error(office: SimulatedOffice) -> None:
    office.faults.fail_next("LIST", "/versions$", Site.SERVER_ERROR)

    with pytest.raises(StepFailed):
        look(office)


# ------------------------------------------------------------------------------------------------------ who uses them


def test_the_vms_of_a_subscription_are_counted_by_the_version_they_were_made_from(office: SimulatedOffice) -> None:
    office.office.publish_replicated("2.0.0")
    office.estate.machines.place(office.office.machine_id("lab-1"), office.office.spec_for("lab-1", "2.0.0"))

    users = look(office).users
    assert users["1.0.0"] == VersionUsers(3, 0, ("avd-000", "avd-001", "avd-002"))
    assert users["2.0.0"] == VersionUsers(1, 0, ("lab-1",))


def test_every_page_of_a_list_is_read(office: SimulatedOffice) -> None:
    office.arm.page_size = 2

    assert look(office).users["1.0.0"].machines == 3


def test_a_vm_made_from_latest_counts_by_the_exact_version(office: SimulatedOffice) -> None:
    a_scale_set(office, office.office.definition_id, capacity=1)

    snapshot = look(office, SUBSCRIPTION, OTHER)
    assert snapshot.users["1.0.0"] == VersionUsers(4, 0, ("avd-000", "avd-001", "avd-002"))
    assert snapshot.followers == {"westeurope": VersionUsers(0, 1, ("web",))}


def test_a_scale_sets_model_and_its_instances_count_each_for_itself(office: SimulatedOffice) -> None:
    office.office.publish_replicated("2.0.0")
    a_scale_set(office, office.office.version_id("1.0.0"), capacity=2, flexible=False)
    office.estate.scale_sets.update_model(ids.scale_set_id(OTHER, "rg-web", "web"), office.office.version_id("2.0.0"))

    users = look(office, OTHER).users
    assert users == {
        "1.0.0": VersionUsers(2, 0, ("web_0", "web_1")),
        "2.0.0": VersionUsers(0, 1, ("web",)),
    }


def test_a_scale_set_without_machines_uses_what_its_model_names(office: SimulatedOffice) -> None:
    a_scale_set(office, office.office.version_id("1.0.0"))

    assert look(office, OTHER).users == {"1.0.0": VersionUsers(0, 1, ("web",))}


def test_two_vms_of_one_name_in_two_groups_are_two(office: SimulatedOffice) -> None:
    office.estate.add_group(SUBSCRIPTION, "rg-lab")
    twin = ids.machine_id(SUBSCRIPTION, "rg-lab", "avd-000")
    office.estate.machines.place(twin, office.office.spec_for("avd-000-lab", "1.0.0"))

    assert look(office).users["1.0.0"].machines == 4


def test_a_subscription_named_twice_in_other_letters_is_read_once(office: SimulatedOffice) -> None:
    look(office, SUBSCRIPTION, SUBSCRIPTION.upper())

    lists = [path for _, path, _ in office.requests if path.endswith("/virtualMachines")]
    assert len(lists) == 1


# -------------------------------------------------------------------------------------------------- what is not known


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/virtualMachines$", f"the VMs of subscription {SUBSCRIPTION} cannot be listed: AuthorizationFailed"),
        ("/virtualMachineScaleSets$", f"the scale sets of subscription {SUBSCRIPTION} cannot be listed"),
    ],
)
def test_a_list_that_cannot_be_read_is_never_taken_for_an_empty_one(
    office: SimulatedOffice, path: str, said: str
) -> None:
    office.faults.fail_next("LIST", path, AzureError(403, "AuthorizationFailed", "The client may not."))

    (unreadable,) = look(office).unreadable
    assert said in unreadable


def test_the_second_page_missing_is_a_list_that_cannot_be_read(office: SimulatedOffice) -> None:
    office.arm.page_size = 2
    office.faults.fail_next("LIST", r"virtualMachines\?", Site.SERVER_ERROR)

    assert len(look(office).unreadable) == 1


def test_instances_that_cannot_be_listed_are_told(office: SimulatedOffice) -> None:
    a_scale_set(office, office.office.definition_id, flexible=False)
    office.faults.fail_next("LIST", "web/virtualMachines", Site.SERVER_ERROR)

    (unreadable,) = look(office, OTHER).unreadable
    assert "the instances of scale set web cannot be listed" in unreadable


def test_a_vm_made_from_latest_that_does_not_say_which_version_is_told(office: SimulatedOffice) -> None:
    machine = next(iter(office.estate.machines.everything()))
    machine.image_id, machine.exact_version = office.office.definition_id, ""

    (unreadable,) = look(office).unreadable
    assert unreadable == f"Azure does not say which version VM {machine.name} was made from"


def test_what_durable_could_not_tell_is_told_too(office: SimulatedOffice) -> None:
    snapshot = look(office, running={"1.0.0": "image-x"}, unreadable=("rollouts cannot be read",))

    assert (snapshot.running, snapshot.unreadable) == ({"1.0.0": "image-x"}, ("rollouts cannot be read",))


# ------------------------------------------------------------------------------------------------- image references


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ({"id": f"{DEFINITION}/versions/1.2.3"}, "1.2.3"),
        ({"id": f"{DEFINITION.upper()}/VERSIONS/1.2.3/"}, "1.2.3"),
        ({"id": DEFINITION, "exactVersion": "1.2.3"}, "1.2.3"),
        ({"id": DEFINITION}, LATEST),
        ({"id": f"{DEFINITION}/versions/latest"}, LATEST),
        ({"id": f"{DEFINITION}-other/versions/1.2.3"}, None),
        ({"sharedGalleryImageId": "/SharedGalleries/UNIQ/Images/i/Versions/1.2.3"}, "1.2.3"),
        ({"sharedGalleryImageId": "/SharedGalleries/uniq/Images/i/Versions/latest", "exactVersion": "1.2.3"}, "1.2.3"),
        ({"sharedGalleryImageId": "/SharedGalleries/other/Images/i/Versions/1.2.3"}, None),
        ({"communityGalleryImageId": "/CommunityGalleries/contoso-1234/Images/i/Versions/1.2.3"}, "1.2.3"),
        ({"communityGalleryImageId": "/CommunityGalleries/contoso-1234/Images/j/Versions/1.2.3"}, None),
        ({"publisher": "MicrosoftWindowsDesktop", "offer": "windows-11", "sku": "avd", "exactVersion": "1.2.3"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_an_image_reference_tells_the_version_in_whatever_form_it_comes(reference: Any, version: str | None) -> None:
    assert version_used(reference, NAMES) == version


def test_a_gallerys_other_names_are_read_from_it() -> None:
    gallery = {
        "properties": {
            "identifier": {"uniqueName": "uniq"},
            "sharingProfile": {"permissions": "Community", "communityGalleryInfo": {"publicNames": ["contoso-1234"]}},
        }
    }

    assert names_of(DEFINITION, gallery) == NAMES
    assert names_of(DEFINITION, {}) == ImageNames(DEFINITION)


def test_versions_are_listed_whatever_their_number(office: SimulatedOffice) -> None:
    for name in ("1.10.0", "1.9.0"):
        office.office.publish_replicated(name)

    assert {short_version(version.id) for version in look(office).versions} == {"1.0.0", "1.9.0", "1.10.0"}
