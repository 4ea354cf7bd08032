"""The picture of a pool: both of Azure's views of each host put together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapters import pool_reader, session_hosts, virtual_machines
from adapters.errors import StepFailed
from adapters.pool_reader import count_by_region, host_shape, is_unregistered_host, registered_host, vm_half
from adapters.wire import Json
from rollout.model import AGENT_EXTENSION, JOIN_EXTENSION, HostShape, SessionHost
from simulator.errors import AzureError
from simulator.faults import Site
from tests.activities.orders import installing, joining, provisioning
from tests.adapters.office import ROLLOUT, SimulatedOffice, simulated_office

POOL = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.DesktopVirtualization/hostPools/office"


def test_a_running_host_is_shown_with_both_halves(office: SimulatedOffice) -> None:
    host = office.look().hosts[0]

    assert host.name == "avd-000"
    assert host.vm_id.lower() == office.office.machine_id("avd-000").lower()
    assert host.registration.lower().startswith(f"{office.pool_id}/sessionHosts/avd-000".lower())
    assert host.image_version_id == office.office.version_id("1.0.0")
    assert (host.provisioning, host.power, host.status) == ("Succeeded", "running", "Available")
    assert host.allows_new_sessions
    assert host.shape.vm_size == "Standard_D4as_v5"
    assert host.shape.location == "westeurope"
    assert host.zone in ("1", "2", "3")
    assert host.last_heartbeat == office.clock()


def test_sessions_are_shown_on_their_host_with_ids_that_azure_takes_back() -> None:
    with simulated_office(people=20) as office:
        office.wait(hours=4)
        hosts = office.look().hosts

        assert sum(len(host.sessions) for host in hosts) > 5
        busy = next(host for host in hosts if host.sessions)
        assert all(session.id.isdigit() and "@" in session.user for session in busy.sessions)
        session_hosts.sign_out(busy.registration, busy.sessions[0].id)
        assert busy.sessions[0].user not in {s.user for s in session_hosts.list_sessions(busy.registration)}


def test_a_pool_of_a_hundred_hosts_takes_as_many_calls_as_one_of_three() -> None:
    calls = {}
    for hosts in (3, 100):
        with simulated_office(hosts=hosts) as office:
            office.look()
            calls[hosts] = office.arm.calls.total()

    assert calls[3] == calls[100] == 5


def test_the_pool_is_read_every_quarter_of_an_hour_and_a_sound_image_every_hour(office: SimulatedOffice) -> None:
    office.office.publish_replicated("2.0.0")
    for _ in range(10):
        office.look()
        office.wait(minutes=7)

    assert office.arm.calls["hostPools.get"] == 4
    assert office.arm.calls["galleryImageVersions.get"] == 2
    assert office.arm.calls["sessionHosts.list"] == 10


def test_an_image_that_is_in_trouble_or_gone_is_read_each_time(office: SimulatedOffice) -> None:
    office.look(version="9.9.9")
    office.look(version="9.9.9")

    assert office.arm.calls["galleryImageVersions.get"] == 2


def test_a_new_vm_on_which_everything_is_installed_is_not_looked_into_again(
    office: SimulatedOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_lists_show_ids_only(monkeypatch)
    provisioning(office, "avd-004")
    office.wait(minutes=10)
    joining(office, office.host("avd-004"))
    office.wait(minutes=5)
    office.estate.world.timings = replace(office.estate.world.timings, register=(3600, 3600))
    installing(office, office.host("avd-004"))
    office.wait(minutes=10)
    before = office.arm.calls["virtualMachines.get"]

    for _ in range(3):
        host = office.host("avd-004", "avd-004")
        assert (host.registration, host.extensions[AGENT_EXTENSION]) == ("", "Succeeded")
        office.wait(minutes=1)
    assert office.arm.calls["virtualMachines.get"] == before + 1


def test_sessions_are_listed_once_some_host_counts_one() -> None:
    with simulated_office(people=20) as office:
        before = office.arm.calls["userSessions.listByHostPool"]
        office.look()
        assert office.arm.calls["userSessions.listByHostPool"] == before
        office.wait(hours=4)
        office.look()
        assert office.arm.calls["userSessions.listByHostPool"] == before + 1


def test_sessions_that_nothing_is_done_with_are_listed_every_ten_minutes_and_counted_each_time() -> None:
    with simulated_office(people=20) as office:
        office.wait(hours=4)
        listed = office.look()
        before = office.arm.calls["userSessions.listByHostPool"]
        gone = next(host for host in listed.hosts if host.sessions)
        for session in gone.sessions:
            session_hosts.sign_out(gone.registration, session.id)
        office.wait(minutes=1)

        kept = {host.name: host for host in office.look(fresh_sessions=False).hosts}[gone.name]
        assert (kept.session_count, kept.sessions) == (0, gone.sessions)
        assert office.arm.calls["userSessions.listByHostPool"] == before
        office.wait(minutes=9)
        listed_anew = {host.name: host for host in office.look(fresh_sessions=False).hosts}[gone.name].sessions
        assert not set(listed_anew) & set(gone.sessions)
        assert office.arm.calls["userSessions.listByHostPool"] == before + 1


def test_azure_is_asked_for_power_only_where_no_agent_reports(office: SimulatedOffice) -> None:
    office.estate.machines.deallocate(office.office.machine_id("avd-001"))
    office.wait(minutes=10)

    assert [host.power for host in office.look().hosts] == ["running", "deallocated", "running"]
    assert office.arm.calls["virtualMachines.get"] == 1
    assert office.arm.calls["virtualMachines.listAll"] == 0


def test_a_host_that_was_switched_off_this_moment_is_not_taken_for_a_running_one(office: SimulatedOffice) -> None:
    office.estate.machines.deallocate(office.office.machine_id("avd-001"))
    office.wait(minutes=4)

    assert office.host("avd-001").power == "deallocated"


def test_many_hosts_without_a_heartbeat_take_one_list() -> None:
    with simulated_office(hosts=40, powered_off=20) as office:
        assert [host.power for host in office.look().hosts].count("deallocated") == 20
        assert office.arm.calls["virtualMachines.listAll"] == 1
        assert office.arm.calls["virtualMachines.get"] == 0


def test_a_list_of_power_states_serves_the_other_pools_of_the_subscription_and_nobody_twice() -> None:
    with simulated_office(hosts=20, powered_off=10) as office:
        now, subscription = office.clock(), office.office.subscription
        for pool in ("one", "two", "three"):
            virtual_machines.power_states(subscription, pool, now)
        assert office.arm.calls["virtualMachines.listAll"] == 1

        virtual_machines.power_states(subscription, "two", now)
        assert office.arm.calls["virtualMachines.listAll"] == 2
        virtual_machines.power_states(subscription, "four", now + virtual_machines.POWER_KEPT)
        assert office.arm.calls["virtualMachines.listAll"] == 3


def test_long_lists_are_read_in_large_pages() -> None:
    with simulated_office(hosts=25) as office:
        office.arm.page_size = 4

        office.look()

        assert office.arm.calls["sessionHosts.list"] == 1


def test_where_large_pages_are_refused_the_usual_ones_are_read_from_then_on() -> None:
    with simulated_office(hosts=25) as office:
        office.arm.page_size = 10
        office.faults.fail_next("GET", "sessionHosts$", AzureError(400, "400", "PageSize must be at most 200."))

        assert len(office.look().hosts) == 25
        assert len(office.look().hosts) == 25

        assert office.arm.calls["sessionHosts.list"] == 1 + 3 + 3


def test_long_lists_are_read_to_the_last_page() -> None:
    with simulated_office(hosts=25) as office:
        office.arm.page_size = 4

        snapshot = office.look()

        assert len(snapshot.hosts) == 25
        assert all(host.power == "running" and host.status == "Available" for host in snapshot.hosts)


def test_a_pool_that_azure_updates_itself_says_so() -> None:
    with simulated_office(management_type="Automated") as office:
        assert office.look().pool.management_type == "Automated"


def test_where_a_cloud_lacks_the_preview_the_pool_is_read_all_the_same(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", r"hostPools/[^/]+$", AzureError(400, "InvalidApiVersionParameter", "not here"))

    assert office.look().pool.management_type == ""
    assert office.look().pool.pool_type == "Pooled"


def test_a_new_vm_is_shown_before_it_registers_and_looked_into_only_when_asked(office: SimulatedOffice) -> None:
    provisioning(office, "avd-004")
    office.wait(minutes=10)

    assert office.host("avd-004").registration == ""
    assert office.host("avd-004").extensions == {}
    before = office.arm.calls["virtualMachines.get"]
    assert office.host("avd-004", "avd-004", "avd-001").provisioning == "Succeeded"
    # One call for the new VM; none for the host that is registered.
    assert office.arm.calls["virtualMachines.get"] - before == 1


def test_a_new_vm_that_azure_is_at_work_on_is_not_looked_into(office: SimulatedOffice) -> None:
    provisioning(office, "avd-004")
    assert office.host("avd-004", "avd-004").provisioning == "Creating"
    office.wait(minutes=10)
    new = office.host("avd-004", "avd-004")
    joining(office, new)
    before = office.arm.calls["virtualMachines.get"]

    host = office.host("avd-004", "avd-004")

    assert (host.provisioning, host.extensions[JOIN_EXTENSION]) == ("Updating", "Updating")
    assert office.arm.calls["virtualMachines.get"] == before


@pytest.mark.parametrize(("says", "looks"), [(True, 0), (False, 1)])
def test_a_new_vm_is_looked_into_for_its_extensions_where_the_list_does_not_tell_their_state(
    office: SimulatedOffice, monkeypatch: pytest.MonkeyPatch, says: bool, looks: int
) -> None:
    provisioning(office, "avd-004")
    office.wait(minutes=10)
    joining(office, office.host("avd-004", "avd-004"))
    office.wait(minutes=10)
    before = office.arm.calls["virtualMachines.get"]
    if not says:
        _let_lists_show_ids_only(monkeypatch)

    assert office.host("avd-004", "avd-004").extensions == {JOIN_EXTENSION: "Succeeded"}
    assert office.arm.calls["virtualMachines.get"] - before == looks


def _let_lists_show_ids_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of VMs name the extensions and tell nothing more of them."""
    listed = virtual_machines.list_in_group

    def shown(vm: Json) -> Json:
        named = [{"id": extension["id"], "name": extension["name"]} for extension in vm.get("resources", ())]
        return {**vm, "resources": named}

    monkeypatch.setattr(virtual_machines, "list_in_group", lambda group: [shown(vm) for vm in listed(group)])


@pytest.mark.parametrize(("goes_well", "looks"), [(True, 0), (False, 1)])
def test_a_vm_that_was_only_asked_for_is_looked_into_when_it_failed(
    office: SimulatedOffice, goes_well: bool, looks: int
) -> None:
    if not goes_well:
        office.faults.fail_next("*", "avd-004", Site.ALLOCATION_FAILED)
    provisioning(office, "avd-004")
    office.wait(minutes=15)

    pool_reader.observe(
        office.pool_id,
        office.office.version_id("2.0.0"),
        office.policy(),
        ROLLOUT,
        ["avd-004"],
        office.clock(),
        untouched=["avd-004"],
    )

    assert office.arm.calls["virtualMachines.get"] == looks


def test_a_vm_that_azure_had_no_room_for_says_why(office: SimulatedOffice) -> None:
    office.faults.fail_next("*", "avd-004", Site.ALLOCATION_FAILED)
    provisioning(office, "avd-004")
    office.wait(minutes=15)

    host = office.host("avd-004", "avd-004")
    assert (host.provisioning, host.provisioning_error) == ("Failed", "ZonalAllocationFailed")


def test_names_of_vms_that_are_no_hosts_are_in_use_too(office: SimulatedOffice) -> None:
    provisioning(office, "avd-017", rollout="image-other-1.0.0-abcdef:another-pool")

    snapshot = office.look()
    assert "avd-017" in snapshot.names_in_use
    assert "avd-017" not in {host.name for host in snapshot.hosts}


def test_a_version_that_azure_no_longer_has_is_shown_as_none(office: SimulatedOffice) -> None:
    assert office.look(version="9.9.9").image is None


def test_a_pool_that_is_gone_is_an_error_that_says_so(office: SimulatedOffice) -> None:
    with pytest.raises(StepFailed) as failed:
        pool_reader.observe(
            f"{office.pool_id}x", office.office.version_id("2.0.0"), office.policy(), ROLLOUT, [], office.clock()
        )
    assert failed.value.error.code == "ResourceNotFound"


def test_the_regions_of_a_pool_are_those_of_its_vms(office: SimulatedOffice) -> None:
    assert count_by_region(office.pool_id) == {"westeurope": 3}


def test_a_pool_without_vms_is_where_it_says_itself() -> None:
    with simulated_office(hosts=0, region="northeurope") as office:
        assert count_by_region(office.pool_id) == {"northeurope": 0}


# ------------------------------------------------------------------------------------- bodies that Azure might send


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": None, "id": None, "tags": None, "zones": None, "properties": None},
        {"properties": "text", "tags": "text", "zones": "1", "name": 7, "identity": []},
        {"properties": {"storageProfile": [], "hardwareProfile": None, "instanceView": {"statuses": [None, 3, {}]}}},
        {"properties": {"storageProfile": {"osDisk": {"diffDiskSettings": None, "managedDisk": "x"}}}},
        {"tags": {"a": None, "b": 3}, "identity": {"userAssignedIdentities": ["x"]}},
    ],
)
def test_a_vm_that_cannot_be_read_is_shown_with_empty_fields(body: dict[str, object]) -> None:
    host = vm_half(body, "")

    assert (host.provisioning, host.image_version_id, host.zone) == ("", "", "")
    assert host.shape.location == ""


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": None, "name": None, "properties": None},
        {"properties": []},
        {
            "properties": {
                "status": None,
                "allowNewSession": "yes",
                "lastHeartBeat": "yesterday",
                "sessions": "three",
                "assignedUser": None,
                "sessionHostHealthCheckResults": [None, "x", {"healthCheckName": None}],
            }
        },
    ],
)
def test_a_registration_that_cannot_be_read_is_shown_as_unfit(body: dict[str, object]) -> None:
    host = registered_host(SessionHost("avd-001"), POOL, body, ())

    assert not host.allows_new_sessions
    assert (host.status, host.last_heartbeat, host.session_count, host.failed_checks) == ("", None, 0, ())


def test_an_unknown_status_word_is_kept() -> None:
    host = registered_host(SessionHost("avd-001"), POOL, {"properties": {"status": "Hibernated"}}, ())

    assert host.status == "Hibernated"


def test_a_host_whose_vm_is_gone_keeps_the_name_of_the_vm(office: SimulatedOffice) -> None:
    office.estate.machines.delete(office.office.machine_id("avd-002"))
    office.wait(minutes=20)

    host = office.host("avd-002")
    assert host.vm_id == ""
    assert host.registration


def test_only_health_checks_that_keep_people_out_count() -> None:
    checks = [
        {"healthCheckName": "SxSStackListenerCheck", "healthCheckResult": "HealthCheckFailed"},
        {"healthCheckName": "DomainTrustCheck", "healthCheckResult": "HealthCheckFailed"},
        {"healthCheckName": "DomainJoinedCheck", "healthCheckResult": "HealthCheckSucceeded"},
        {"healthCheckName": "MonitoringAgentCheck", "healthCheckResult": "HealthCheckFailed"},
    ]

    host = registered_host(SessionHost("avd-001"), POOL, {"properties": {"sessionHostHealthCheckResults": checks}}, ())

    assert host.failed_checks == ("SxSStackListenerCheck", "DomainTrustCheck")


def test_everything_that_a_new_host_inherits_is_read_from_the_vm() -> None:
    body = {
        "location": "westeurope",
        "tags": {"cost": "42", "goldroll-rollout": "x", "goldroll-quarantined": "y"},
        "identity": {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {"/b": {}, "/a": {}}},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D4as_v5"},
            "licenseType": "Windows_Client",
            "securityProfile": {
                "securityType": "TrustedLaunch",
                "encryptionAtHost": True,
                "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
            },
            "storageProfile": {
                "osDisk": {
                    "managedDisk": {"storageAccountType": "Premium_LRS"},
                    "diffDiskSettings": {"option": "Local"},
                }
            },
        },
    }

    assert host_shape(body) == HostShape(
        location="westeurope",
        vm_size="Standard_D4as_v5",
        os_disk_type="Premium_LRS",
        ephemeral_placement="CacheDisk",
        security_type="TrustedLaunch",
        secure_boot=True,
        vtpm=True,
        encryption_at_host=True,
        license_type="Windows_Client",
        identity_type="SystemAssigned, UserAssigned",
        user_identities=("/a", "/b"),
        tags={"cost": "42"},
    )


@pytest.mark.parametrize(
    ("tags", "belongs"),
    [
        ({"goldroll-rollout": ROLLOUT}, True),
        ({"goldroll-rollout": "image-gal-win11-1.0.0-abcdef:office"}, True),
        ({"goldroll-rollout": "image-gal-win11-1.0.0-abcdef:office", "cm-resource-parent": POOL.upper()}, True),
        ({"goldroll-rollout": "image-gal-win11-1.0.0-abcdef:office", "cm-resource-parent": f"{POOL}-2"}, False),
        ({"goldroll-rollout": "image-gal-win11-1.0.0-abcdef:another-office"}, False),
        ({"goldroll-rollout": "office"}, False),
        ({"cm-resource-parent": POOL}, False),
        ({}, False),
    ],
)
def test_only_vms_of_this_pools_rollouts_are_taken_for_its_hosts(tags: dict[str, str], belongs: bool) -> None:
    assert is_unregistered_host({"tags": tags}, POOL, "office", ROLLOUT) is belongs


def test_the_power_state_is_found_among_other_statuses() -> None:
    statuses = [{"code": "ProvisioningState/succeeded"}, {"code": "PowerState/deallocated"}]

    assert virtual_machines.power_state({"properties": {"instanceView": {"statuses": statuses}}}) == "deallocated"


def test_seven_digits_of_a_second_are_read() -> None:
    body = {"properties": {"lastHeartBeat": "2026-11-20T10:01:02.1234567Z"}}

    assert session_hosts.last_heartbeat(body) == datetime(2026, 11, 20, 10, 1, 2, 123456, tzinfo=UTC)
