"""Galleries of the estate: publication, replication per region, what `latest` means, deletion."""

from __future__ import annotations

from datetime import timedelta

import pytest

from simulator.errors import AzureError
from simulator.images import Replication, Takes
from simulator.journal import Kind
from tests.simulator.building_hosts import create_machine, office, pass_time

TWO_HOURS = Takes(timedelta(hours=2))


def test_a_version_is_creating_until_every_region_has_it() -> None:
    place = office()
    version = place.publish("1.1.0", ["westeurope", "northeurope"], takes={"northeurope": TWO_HOURS})
    pass_time(place, hours=1)
    assert (version.provisioning_state, version.aggregated_state) == ("Creating", "InProgress")
    assert version.usable_in("West Europe")
    assert not version.usable_in("northeurope")
    pass_time(place, hours=1)
    assert (version.provisioning_state, version.aggregated_state) == ("Succeeded", "Completed")


def test_a_region_makes_progress() -> None:
    place = office()
    version = place.publish("1.1.0", takes={"westeurope": TWO_HOURS})
    pass_time(place, minutes=30)
    assert version.replicas["westeurope"].progress(place.estate.now()) == 25


def test_a_region_that_fails_fails_the_version_and_not_the_other_regions() -> None:
    place = office()
    fails = Takes(timedelta(minutes=10), fails="The storage account is on fire.")
    version = place.publish("1.1.0", ["westeurope", "northeurope"], takes={"northeurope": fails})
    pass_time(place, hours=1)
    assert version.provisioning_state == "Failed"
    assert version.replicas["northeurope"].state is Replication.FAILED
    assert create_machine(place, "avd-010", "1.1.0").status == "Succeeded"


def test_publishing_a_failed_version_again_replicates_it_again() -> None:
    place = office()
    version = place.publish("1.1.0", takes={"westeurope": Takes(timedelta(minutes=10), fails="Try again.")})
    pass_time(place, minutes=20)
    assert version.provisioning_state == "Failed"
    assert place.publish("1.1.0", takes={"westeurope": Takes(timedelta(minutes=10))}) is version
    pass_time(place, minutes=20)
    assert version.provisioning_state == "Succeeded"


def test_a_stalled_region_never_arrives() -> None:
    place = office()
    version = place.publish("1.1.0", takes={"westeurope": Takes(None)})
    pass_time(place, days=3)
    assert version.aggregated_state == "InProgress"


def test_a_region_can_be_added_later() -> None:
    place = office()
    version = place.publish_replicated("1.1.0")
    place.estate.galleries.update(version.id, regions={"westeurope": 1, "East US 2": 1}, takes={"eastus2": TWO_HOURS})
    assert version.provisioning_state == "Updating"
    pass_time(place, hours=2)
    assert version.usable_in("eastus2")
    assert version.provisioning_state == "Succeeded"


def test_more_replicas_leave_the_first_ones_usable() -> None:
    place = office()
    version = place.publish_replicated("1.1.0")
    place.estate.galleries.update(version.id, regions={"westeurope": 5})
    assert (version.replicas["westeurope"].count, version.usable_in("westeurope")) == (5, True)


def test_the_home_region_of_a_version_cannot_be_removed() -> None:
    place = office()
    version = place.publish_replicated("1.1.0")
    with pytest.raises(AzureError, match="home region"):
        place.estate.galleries.update(version.id, regions={"northeurope": 1})


def test_latest_is_the_highest_number_that_is_not_excluded_and_not_the_newest() -> None:
    place = office()
    for name in ("1.10.0", "1.9.0"):
        place.publish_replicated(name)
        pass_time(place, hours=1)
    definition = place.estate.galleries.definition(place.definition_id)
    latest = definition.latest("westeurope")
    assert latest is not None
    assert latest.name == "1.10.0"
    place.estate.galleries.update(latest.id, exclude_from_latest=True)
    found = definition.latest("westeurope")
    assert found is not None
    assert found.name == "1.9.0"
    place.estate.galleries.update(found.id, excluded_regions={"West Europe": True})
    older = definition.latest("westeurope")
    assert older is not None
    assert older.name == "1.0.0"


def test_a_machine_made_from_a_definition_tells_which_version_it_got() -> None:
    place = office()
    place.publish_replicated("1.1.0")
    version = place.estate.galleries.resolve(place.definition_id, "westeurope")
    assert version.name == "1.1.0"


@pytest.mark.parametrize("name", ["1.0", "1.0.0.0", "v1.0.0", "1.0.x", "latest", "1.-1.0"])
def test_a_version_has_three_numbers(name: str) -> None:
    with pytest.raises(AzureError, match=r"Major\(int\)"):
        office().publish(name)


def test_a_deleted_version_is_gone_after_a_while_and_its_machines_keep_running() -> None:
    place = office()
    place.estate.galleries.delete_version(place.version_id("1.0.0"))
    with pytest.raises(AzureError, match="GalleryImageNotFound"):
        create_machine(place, "avd-010")
    pass_time(place, minutes=5)
    with pytest.raises(AzureError, match="404 ResourceNotFound"):
        place.estate.galleries.version(place.version_id("1.0.0"))
    assert all(host.accepting for host in place.estate.hosts.list(place.pool_id))
    assert place.estate.galleries.delete_version(place.version_id("1.0.0")) is False


def test_a_version_can_be_protected_until_its_end_of_life() -> None:
    place = office()
    version = place.publish_replicated("1.1.0")
    version.block_deletion_before_end_of_life = True
    place.estate.galleries.update(version.id, end_of_life=place.estate.now() + timedelta(days=1))
    with pytest.raises(AzureError, match="blocked before its end of life"):
        place.estate.galleries.delete_version(version.id)
    pass_time(place, days=2)
    assert place.estate.galleries.delete_version(version.id)


def test_a_definition_with_versions_cannot_be_deleted() -> None:
    place = office()
    with pytest.raises(AzureError, match="nested resources"):
        place.estate.galleries.delete_definition(place.definition_id)


def test_a_publication_is_announced_before_it_has_replicated() -> None:
    place = office()
    version = place.publish("1.1.0", takes={"westeurope": TWO_HOURS})
    pass_time(place, minutes=1)
    assert [(one.version_id, one.method) for one in place.estate.galleries.outbox] == [(version.id, "PUT")]
    assert version.aggregated_state == "InProgress"


def test_every_write_and_the_deletion_are_announced() -> None:
    place = office()
    version = place.publish_replicated("1.1.0")
    place.estate.galleries.update(version.id, exclude_from_latest=True)
    pass_time(place, minutes=1)
    place.estate.galleries.delete_version(version.id)
    pass_time(place, minutes=5)
    assert sorted(one.method for one in place.estate.galleries.outbox) == ["DELETE", "PATCH", "PUT"]
    assert len(list(place.estate.journal.of(Kind.VERSION_DELETED))) == 1


# ----------------------------------------------------------------------------------------------------- further copies


def test_further_copies_take_a_while_and_the_first_ones_serve_meanwhile() -> None:
    place = office()
    version = place.publish_replicated("1.1.0")
    place.estate.galleries.update(version.id, regions={"westeurope": 5})

    assert (version.provisioning_state, version.aggregated_state) == ("Updating", "InProgress")
    assert version.usable_in("westeurope")
    assert version.carries("westeurope") == 20
    pass_time(place, hours=1)
    assert (version.provisioning_state, version.carries("westeurope")) == ("Succeeded", 100)


def test_copies_that_are_given_up_serve_nobody_any_more() -> None:
    place = office()
    version = place.publish("1.1.0", replicas=5)
    pass_time(place, hours=1)
    place.estate.galleries.update(version.id, regions={"westeurope": 2})

    assert (version.provisioning_state, version.carries("westeurope")) == ("Succeeded", 40)


def test_copies_that_are_asked_for_during_the_replication_arrive_with_it() -> None:
    place = office()
    version = place.publish("1.1.0", takes={"westeurope": TWO_HOURS})
    place.estate.galleries.update(version.id, regions={"westeurope": 4})
    assert version.carries("westeurope") == 0
    pass_time(place, hours=2)
    assert version.carries("westeurope") == 80


@pytest.mark.parametrize(("replicas", "slower"), [(1, True), (2, False)])
def test_more_machines_at_once_than_the_copies_carry_take_longer(replicas: int, slower: bool) -> None:
    place = office()
    place.publish("1.1.0", replicas=replicas)
    pass_time(place, hours=1)
    machines = place.estate.machines
    for number in range(10, 50):
        name = f"avd-{number:03}"
        machines.put(place.machine_id(name), place.spec_for(name, "1.1.0"))
    asked_at = place.estate.now()
    pass_time(place, hours=1)

    made = [entry.at - asked_at for entry in place.estate.journal.entries if entry.kind is Kind.MACHINE_CREATED]
    crowded = [entry for entry in place.estate.journal.entries if entry.kind is Kind.REPLICAS_CROWDED]
    longest = timedelta(seconds=place.estate.world.timings.create_machine[1])
    assert len(made) == 40
    assert (max(made) > longest * 1.4) is slower
    assert (len(crowded) == 20) is slower


def test_machines_that_come_after_those_before_are_done_are_not_crowded() -> None:
    place = office()
    place.publish_replicated("1.1.0")
    for number in range(10, 50):
        create_machine(place, f"avd-{number:03}", "1.1.0")

    assert not [entry for entry in place.estate.journal.entries if entry.kind is Kind.REPLICAS_CROWDED]
