"""Virtual machines of the estate: what Azure accepts, refuses at once, and fails later."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from simulator.errors import AzureError
from simulator.extensions import agent, entra_join
from simulator.faults import Site
from simulator.images import Flaws, Takes
from simulator.journal import Kind
from simulator.machines import Power
from tests.simulator.building_hosts import create_machine, new_host, office, pass_time


def test_a_machine_is_creating_for_a_while_and_then_runs() -> None:
    place = office()
    operation = place.estate.machines.put(place.machine_id("avd-010"), place.spec_for("avd-010", "1.0.0"))
    machine = place.estate.machines.get(place.machine_id("AVD-010"))
    assert (machine.provisioning_state, operation.status) == ("Creating", "InProgress")
    pass_time(place, minutes=5)
    assert (machine.provisioning_state, operation.status, machine.power) == ("Succeeded", "Succeeded", Power.RUNNING)


def test_if_none_match_refuses_a_name_that_is_taken() -> None:
    place = office()
    with pytest.raises(AzureError, match="412 PreconditionFailed"):
        create_machine(place, "avd-000")


def test_a_second_put_of_a_machine_that_exists_changes_its_tags_and_nothing_else() -> None:
    place = office()
    spec = replace(place.spec_for("avd-000", "1.0.0"), tags={"owner": "me"})
    place.estate.machines.put(place.machine_id("avd-000"), spec)
    assert place.estate.machines.get(place.machine_id("avd-000")).tags == {"owner": "me"}
    assert len(place.estate.machines.everything()) == 3


def test_the_image_of_a_machine_cannot_be_changed() -> None:
    place = office()
    place.publish_replicated("1.1.0")
    with pytest.raises(AzureError, match="PropertyChangeNotAllowed"):
        place.estate.machines.put(place.machine_id("avd-000"), place.spec_for("avd-000", "1.1.0"))


def test_without_quota_a_machine_is_refused_with_the_numbers() -> None:
    place = office(hosts=3, spare_hosts=1)
    create_machine(place, "avd-010")
    with pytest.raises(AzureError, match=r"Current Limit: 16, Current Usage: 16, Additional Required: 4,") as refused:
        create_machine(place, "avd-011")
    assert (refused.value.status, refused.value.code) == (409, "OperationNotAllowed")


def test_a_deallocated_machine_still_counts_against_the_quota() -> None:
    place = office(hosts=3, spare_hosts=0)
    place.estate.machines.deallocate(place.machine_id("avd-000"))
    pass_time(place, minutes=5)
    with pytest.raises(AzureError, match="OperationNotAllowed"):
        create_machine(place, "avd-010")


def test_deleting_a_machine_gives_its_cores_back() -> None:
    place = office(hosts=3, spare_hosts=0)
    place.estate.machines.delete(place.machine_id("avd-000"))
    pass_time(place, minutes=5)
    assert create_machine(place, "avd-010").status == "Succeeded"


def test_an_empty_zone_fails_the_operation_and_leaves_a_failed_machine() -> None:
    place = office()
    place.estate.quota.set_stock("westeurope", place.spec.size, "1", 0)
    operation = create_machine(place, "avd-010", zone="1")
    machine = place.estate.machines.get(place.machine_id("avd-010"))
    assert operation.error is not None
    assert (operation.status, operation.error.code) == ("Failed", "ZonalAllocationFailed")
    assert (machine.provisioning_state, machine.running) == ("Failed", False)
    assert create_machine(place, "avd-011", zone="2").status == "Succeeded"


def test_a_machine_that_found_no_hardware_can_be_started_when_there_is_some() -> None:
    place = office(hosts=0)
    place.estate.faults.fail_next("*", "avd-010", Site.ALLOCATION_FAILED)
    create_machine(place, "avd-010")
    assert list(place.estate.attachments.disks) == []
    place.estate.machines.start(place.machine_id("avd-010"))
    pass_time(place, minutes=5)
    assert place.estate.machines.get(place.machine_id("avd-010")).running
    assert len(place.estate.attachments.disks) == 1


def test_a_failed_machine_can_be_put_again() -> None:
    place = office()
    place.estate.faults.fail_next("*", "avd-010", Site.ALLOCATION_FAILED)
    assert create_machine(place, "avd-010").status == "Failed"
    spec = place.spec_for("avd-010", "1.0.0")
    operation = place.estate.machines.put(place.machine_id("avd-010"), spec)
    pass_time(place, minutes=10)
    assert operation.status == "Succeeded"
    assert [one.name for one in place.estate.machines.everything()].count("avd-010") == 1


def test_a_size_that_is_not_sold_is_refused_at_once() -> None:
    place = office()
    place.estate.quota.restrict("westeurope", place.spec.size, "2")
    with pytest.raises(AzureError, match="SkuNotAvailable"):
        create_machine(place, "avd-010", zone="2")
    assert create_machine(place, "avd-010", zone="1").status == "Succeeded"


def test_a_machine_needs_its_image_in_its_region() -> None:
    place = office()
    place.publish("1.1.0", takes={"westeurope": Takes(timedelta(hours=2))})
    with pytest.raises(AzureError, match="404 GalleryImageNotFound"):
        create_machine(place, "avd-010", "1.1.0")
    pass_time(place, hours=2)
    assert create_machine(place, "avd-010", "1.1.0").status == "Succeeded"


def test_an_image_that_never_boots_times_out_after_more_than_half_an_hour() -> None:
    place = office()
    place.publish_replicated("1.1.0", Flaws(never_boots=True))
    operation = create_machine(place, "avd-010", "1.1.0")
    assert operation.error is not None
    assert operation.error.code == "OSProvisioningTimedOut"
    assert operation.ended_at is not None
    assert operation.ended_at - operation.started_at > timedelta(minutes=30)


def test_a_name_longer_than_windows_allows_is_refused() -> None:
    with pytest.raises(AzureError, match="15 characters"):
        create_machine(office(), "avd-000000000010")


def test_deleting_a_machine_takes_its_disk_and_interface_with_it() -> None:
    place = office()
    place.estate.machines.delete(place.machine_id("avd-000"))
    pass_time(place, minutes=10)
    assert place.estate.orphans() == []
    assert place.estate.machines.find(place.machine_id("avd-000")) is None
    assert len(place.estate.attachments.disks) == len(place.estate.attachments.interfaces) == 2


def test_without_delete_options_the_disk_and_the_interface_are_left_over() -> None:
    place = office(delete_attachments=False)
    place.estate.machines.delete(place.machine_id("avd-000"))
    pass_time(place, minutes=10)
    assert [orphan.name for orphan in place.estate.orphans()] == ["avd-000-nic", "avd-000-os"]
    with pytest.raises(AzureError, match="Disk avd-000-os already exists"):
        create_machine(place, "avd-000")


def test_a_machine_under_deletion_can_only_be_deleted() -> None:
    place = office()
    machines, machine_id = place.estate.machines, place.machine_id("avd-000")
    operation = machines.delete(machine_id)
    assert machines.delete(machine_id) is operation
    for act in (machines.start, machines.deallocate, lambda id: machines.patch_tags(id, {})):
        with pytest.raises(AzureError, match="marked for deletion"):
            act(machine_id)


def test_deleting_what_is_not_there_is_nothing() -> None:
    assert office().estate.machines.delete(office().machine_id("avd-099")) is None


def test_one_power_operation_at_a_time() -> None:
    place = office()
    place.estate.machines.deallocate(place.machine_id("avd-000"))
    with pytest.raises(AzureError, match="409 Conflict"):
        place.estate.machines.start(place.machine_id("avd-000"))


def test_a_machine_that_was_stopped_comes_back() -> None:
    place = office()
    machine = place.estate.machines.get(place.machine_id("avd-000"))
    place.estate.machines.deallocate(machine.id)
    pass_time(place, minutes=5)
    assert machine.power is Power.DEALLOCATED
    place.estate.machines.start(machine.id)
    pass_time(place, minutes=5)
    assert machine.running


def test_starting_a_deallocated_machine_needs_stock() -> None:
    place = office(hosts=3, powered_off=1)
    place.estate.quota.set_stock("westeurope", place.spec.size, "3", 0)
    operation = place.estate.machines.start(place.machine_id("avd-002"))
    pass_time(place, minutes=5)
    assert operation.error is not None
    assert operation.error.code == "ZonalAllocationFailed"
    assert place.estate.machines.get(place.machine_id("avd-002")).power is Power.DEALLOCATED


def test_a_machine_on_an_ephemeral_disk_cannot_be_deallocated() -> None:
    place = office(ephemeral=True)
    with pytest.raises(AzureError, match="ephemeral OS disk"):
        place.estate.machines.deallocate(place.machine_id("avd-000"))


def test_an_unknown_group_is_a_404() -> None:
    place = office()
    elsewhere = place.machine_id("avd-010").replace("rg-office", "rg-nowhere")
    with pytest.raises(AzureError, match="404 ResourceGroupNotFound"):
        place.estate.machines.put(elsewhere, place.spec_for("avd-010", "1.0.0"))


def test_a_slow_day_makes_a_machine_take_longer() -> None:
    place = office()
    place.estate.faults.fail_next("*", "avd-010", Site.SLOW)
    operation = create_machine(place, "avd-010")
    assert operation.ended_at is not None
    assert operation.ended_at - operation.started_at > timedelta(seconds=3 * 90)
    assert place.estate.faults.counts[Site.SLOW] == 1


def test_the_journal_names_who_asked_also_when_azure_ends_it_later() -> None:
    place = office()
    with place.estate.acting_as("rollout"):
        place.estate.machines.put(place.machine_id("avd-010"), place.spec_for("avd-010", "1.0.0"))
    pass_time(place, minutes=5)
    made = [entry for entry in place.estate.journal.of(Kind.MACHINE_CREATED) if entry.subject.endswith("avd-010")]
    assert [entry.by for entry in made] == ["rollout"]


def test_two_machines_of_one_name_in_two_groups_are_found() -> None:
    place = office()
    place.estate.add_group(place.subscription, "rg-other")
    twin = place.machine_id("avd-000").replace("rg-office", "rg-other")
    place.estate.machines.put(twin, place.spec_for("avd-000", "1.0.0"))
    assert place.estate.duplicates() == ["avd-000"]


def test_only_one_extension_at_a_time_is_worked_on() -> None:
    place = office()
    create_machine(place, "avd-010")
    place.estate.extensions.put(place.machine_id("avd-010"), "join", entra_join())
    with pytest.raises(AzureError, match="409 Conflict"):
        place.estate.extensions.put(place.machine_id("avd-010"), "agent", agent("hp-office", "token"))


def test_tags_are_found_by_their_prefix() -> None:
    place = office()
    place.estate.machines.patch_tags(place.machine_id("avd-001"), {"goldroll-run": "7", "other": "x"})
    assert place.estate.tagged("goldroll-") == {place.machine_id("avd-001"): {"goldroll-run": "7"}}


def test_the_quiet_phase_ends_every_fault() -> None:
    place = office()
    place.estate.faults.fail_next("*", "avd-010", Site.ALLOCATION_FAILED, times=5)
    place.estate.faults.stop()
    assert create_machine(place, "avd-010").status == "Succeeded"


def test_a_host_made_today_is_as_good_as_the_old_ones() -> None:
    place = office(hosts=1)
    new_host(place, "avd-010")
    states = {(host.status, host.accepting) for host in place.estate.hosts.list(place.pool_id)}
    assert states == {("Available", True)}
