"""Session hosts of the estate: registration, health, drain mode, silence, removal."""

from __future__ import annotations

from datetime import timedelta

import pytest

from simulator.errors import AzureError
from simulator.extensions import domain_join
from simulator.host_pools import SessionHost
from simulator.images import Flaws
from simulator.journal import Kind
from tests.simulator.building_hosts import create_machine, install_agent, join_entra, new_host, office, pass_time


def test_a_host_appears_when_its_machine_is_joined_and_has_the_agent() -> None:
    place = office(hosts=1)
    create_machine(place, "avd-010")
    join_entra(place, "avd-010")
    assert len(place.pool.hosts) == 1
    install_agent(place, "avd-010")
    assert place.pool.hosts["avd-010"].status in ("Unavailable", "Upgrading", "Available")


def test_joining_after_the_agent_works_as_well() -> None:
    place = office(hosts=1)
    create_machine(place, "avd-010")
    install_agent(place, "avd-010")
    assert len(place.pool.hosts) == 1
    join_entra(place, "avd-010")
    pass_time(place, minutes=10)
    assert place.pool.hosts["avd-010"].status == "Available"


def test_a_new_host_is_unavailable_then_upgrading_then_available() -> None:
    place = office(hosts=1)
    new_host(place, "avd-010")
    seen = [
        entry.detail
        for entry in place.estate.journal.of(Kind.HOST_REGISTERED, Kind.HOST_STATUS)
        if entry.subject == "hp-office/avd-010"
    ]
    assert seen == ["1.0.0", "Upgrading", "Available"]


def test_a_new_host_takes_nobody_before_it_has_been_available() -> None:
    place = office(hosts=0)
    place.estate.pools.issue_token(place.pool_id, place.estate.now() + timedelta(hours=2))
    create_machine(place, "avd-010")
    join_entra(place, "avd-010")
    install_agent(place, "avd-010")
    accepted_from = None
    for _ in range(60):
        pass_time(place, seconds=10)
        host = place.pool.hosts.get("avd-010")
        if host is not None and accepted_from is None and place.estate.free_slots(place.pool_id):
            accepted_from = host.status
    assert accepted_from == "Available"


def test_a_host_joined_to_a_domain_has_its_full_name() -> None:
    place = office(hosts=1)
    create_machine(place, "avd-010")
    place.estate.extensions.put(place.machine_id("avd-010"), "join", domain_join("contoso.com"))
    pass_time(place, minutes=5)
    install_agent(place, "avd-010")
    pass_time(place, minutes=10)
    assert "avd-010.contoso.com" in place.pool.hosts


def test_an_unknown_token_fails_the_agent() -> None:
    place = office(hosts=1)
    create_machine(place, "avd-010")
    operation = install_agent(place, "avd-010", token="made up")
    assert operation.error is not None
    assert "INVALID_TOKEN" in operation.error.message


def test_a_token_that_expires_before_the_agent_is_installed_fails_it() -> None:
    place = office(hosts=1)
    token = place.estate.pools.issue_token(place.pool_id, place.estate.now() + timedelta(hours=1))
    create_machine(place, "avd-010")
    operation = install_agent(place, "avd-010", token)
    assert operation.status == "Failed"
    assert place.estate.extensions.get(place.machine_id("avd-010"), "agent").provisioning_state == "Failed"


def test_the_token_of_another_pool_fails_the_agent() -> None:
    place = office(hosts=1)
    other = place.estate.pools.create(place.pool_id + "2", "westeurope")
    token = place.estate.pools.issue_token(other.id, place.estate.now() + timedelta(hours=3))
    create_machine(place, "avd-010")
    assert install_agent(place, "avd-010", token).status == "Failed"


@pytest.mark.parametrize("lasts", [timedelta(minutes=59), timedelta(days=31), timedelta(0)])
def test_a_token_is_good_for_an_hour_to_thirty_days(lasts: timedelta) -> None:
    place = office(hosts=1)
    with pytest.raises(AzureError, match="ExpirationTime value must be between one hour and 30 days from now"):
        place.estate.pools.issue_token(place.pool_id, place.estate.now() + lasts)


def test_a_host_that_never_registers_never_appears() -> None:
    place = office(hosts=1)
    place.publish_replicated("1.1.0", Flaws(never_registers=True))
    new_host(place, "avd-010", "1.1.0")
    pass_time(place, hours=5)
    assert list(place.pool.hosts) == ["avd-000"]
    assert place.estate.extensions.get(place.machine_id("avd-010"), "agent").provisioning_state == "Succeeded"


def test_an_unhealthy_image_makes_a_host_that_accepts_nobody() -> None:
    place = office(hosts=1)
    place.publish_replicated("1.1.0", Flaws(unhealthy=True))
    new_host(place, "avd-010", "1.1.0")
    host = place.pool.hosts["avd-010"]
    assert host.status == "SxSStackListenerNotReady"
    assert host.failed_checks.keys() == {"SxSStackListenerCheck"}
    assert not host.accepting


def test_a_degrading_image_turns_its_hosts_bad_after_a_while() -> None:
    place = office(hosts=1)
    place.publish_replicated("1.1.0", Flaws(degrades_after=timedelta(hours=1)))
    new_host(place, "avd-010", "1.1.0")
    assert place.pool.hosts["avd-010"].status == "Available"
    pass_time(place, hours=1)
    assert place.pool.hosts["avd-010"].status == "SxSStackListenerNotReady"


def test_an_image_that_degrades_in_part_spares_the_others() -> None:
    place = office(hosts=1)
    place.publish_replicated("1.1.0", Flaws(degrades_after=timedelta(minutes=10), degrades_fraction=0.5))
    for index in range(10, 22):
        new_host(place, f"avd-{index:03}", "1.1.0")
    pass_time(place, hours=1)
    bad = [host for host in place.pool.hosts.values() if host.status == "SxSStackListenerNotReady"]
    assert 1 <= len(bad) <= 11


def test_a_slow_image_takes_its_time() -> None:
    place = office(hosts=1)
    place.publish_replicated("1.1.0", Flaws(slow=6))
    operation = create_machine(place, "avd-010", "1.1.0")
    assert operation.ended_at is not None
    assert operation.ended_at - operation.started_at >= timedelta(seconds=6 * 90)


def test_a_failing_check_that_is_not_fatal_leaves_the_host_in_use() -> None:
    place = office(hosts=1)
    place.estate.hosts.set_health(place.pool_id, "avd-000", "UrlsAccessibleCheck", "a URL cannot be reached")
    host = place.pool.hosts["avd-000"]
    assert (host.status, host.accepting) == ("NeedsAssistance", True)
    place.estate.hosts.set_health(place.pool_id, "avd-000", "UrlsAccessibleCheck", None)
    assert host.status == "Available"


def test_a_deallocated_host_shows_shutdown_after_a_while() -> None:
    place = office(hosts=2)
    place.estate.machines.deallocate(place.machine_id("avd-000"))
    host = place.pool.hosts["avd-000"]
    assert (host.status, host.accepting) == ("Available", False)
    pass_time(place, minutes=5)
    assert host.status == "Shutdown"


def test_the_host_of_a_deleted_machine_stays_behind_and_loses_its_heartbeat() -> None:
    place = office(hosts=2)
    place.estate.machines.delete(place.machine_id("avd-000"))
    pass_time(place, minutes=8)
    host = place.pool.hosts["avd-000"]
    assert (host.status, host.machine) == ("Unavailable", None)
    pass_time(place, minutes=40)
    assert host.status == "NoHeartbeat"


def test_a_host_that_is_started_again_is_available_again() -> None:
    place = office(hosts=2, powered_off=1)
    host = place.pool.hosts["avd-001"]
    assert host.status == "Shutdown"
    place.estate.machines.start(place.machine_id("avd-001"))
    pass_time(place, minutes=5)
    assert (host.status, host.accepting) == ("Available", True)


def test_the_heartbeat_stops_with_the_machine() -> None:
    place = office(hosts=1)
    host = place.pool.hosts["avd-000"]
    before = place.estate.now()
    assert before - host.last_heartbeat(before) <= timedelta(seconds=30)
    place.estate.machines.deallocate(place.machine_id("avd-000"))
    pass_time(place, hours=1)
    assert host.last_heartbeat(place.estate.now()) <= before


def test_drain_mode_remembers_who_set_it() -> None:
    place = office(hosts=2, drained_by_somebody=1)
    with place.estate.acting_as("rollout"):
        place.estate.hosts.update(place.pool_id, "avd-000", allow_new_session=False)
    by: list[SessionHost] = place.estate.drained_hosts(place.pool_id)
    assert [(host.name, host.drained_by) for host in by] == [("avd-000", "rollout"), ("avd-001", "somebody")]
    assert place.estate.free_slots(place.pool_id) == 0


def test_setting_the_same_drain_mode_again_changes_nothing() -> None:
    place = office(hosts=1)
    for _ in range(2):
        place.estate.hosts.update(place.pool_id, "avd-000", allow_new_session=False)
    assert len(list(place.estate.journal.of(Kind.HOST_DRAINED))) == 1


def test_a_host_with_sessions_is_only_removed_by_force() -> None:
    place = office(hosts=1)
    place.estate.sessions.sign_in(place.pool_id, "ann@contoso.com")
    with pytest.raises(AzureError, match="still has UserSessions"):
        place.estate.hosts.delete(place.pool_id, "avd-000")
    assert place.estate.hosts.delete(place.pool_id, "avd-000", force=True)
    assert place.estate.ledger.forced_sign_outs == 1
    assert place.pool.hosts == {}


def test_removing_a_host_that_is_not_there_is_nothing() -> None:
    place = office(hosts=1)
    assert place.estate.hosts.delete(place.pool_id, "avd-099") is False


def test_a_removed_host_comes_back_only_with_a_new_token() -> None:
    place = office(hosts=1)
    place.estate.hosts.delete(place.pool_id, "avd-000")
    pass_time(place, hours=1)
    assert place.pool.hosts == {}
    install_agent(place, "avd-000")
    pass_time(place, minutes=10)
    assert place.pool.hosts["avd-000"].status == "Available"


def test_a_stale_device_of_the_same_name_blocks_joining() -> None:
    place = office(hosts=1)
    place.estate.machines.delete(place.machine_id("avd-000"))
    pass_time(place, minutes=10)
    create_machine(place, "avd-000")
    operation = join_entra(place, "avd-000")
    assert operation.error is not None
    assert "-2145648509" in operation.error.message
    place.estate.directory.delete_device("avd-000")
    assert join_entra(place, "avd-000").status == "Succeeded"


def test_a_machine_without_an_identity_cannot_join_entra() -> None:
    place = office(hosts=0, domain="contoso.com")
    create_machine(place, "avd-010")
    assert join_entra(place, "avd-010").status == "Failed"


def test_a_new_machine_of_an_old_name_takes_over_its_record_and_its_drain_mode() -> None:
    place = office(hosts=1)
    host = place.pool.hosts["avd-000"]
    place.estate.hosts.update(place.pool_id, "avd-000", allow_new_session=False)
    place.estate.machines.delete(host.machine_id)
    pass_time(place, minutes=10)
    place.estate.directory.delete_device("avd-000")
    new_host(place, "avd-000")
    assert place.pool.hosts["avd-000"] is host
    assert (host.status, host.allow_new_session) == ("Available", False)


def test_an_extension_of_a_stopped_machine_is_refused() -> None:
    place = office(hosts=1, powered_off=1)
    with pytest.raises(AzureError, match="when the VM is not running"):
        join_entra(place, "avd-000")


def test_a_machine_deleted_while_the_agent_installs_never_registers() -> None:
    place = office(hosts=0)
    create_machine(place, "avd-010")
    join_entra(place, "avd-010")
    token = place.estate.pools.issue_token(place.pool_id, place.estate.now() + timedelta(hours=2))
    place.estate.at(
        place.estate.now() + timedelta(seconds=30),
        lambda: place.estate.machines.delete(place.machine_id("avd-010")),
        by="administrator",
    )
    operation = install_agent(place, "avd-010", token)
    pass_time(place, hours=1)
    assert operation.status == "Canceled"
    assert place.pool.hosts == {}


def test_a_host_of_a_deleted_pool_can_join_the_pool_that_takes_its_place() -> None:
    place = office(hosts=1)
    place.estate.pools.delete(place.pool_id, force=True)
    anew = place.estate.pools.create(place.pool_id, "westeurope")
    install_agent(place, "avd-000")
    pass_time(place, minutes=10)
    assert anew.hosts["avd-000"].status == "Available"


def test_a_pool_deleted_in_the_middle_swallows_its_hosts() -> None:
    place = office(hosts=2, people=5)
    place.estate.interference.delete_pool(place.estate.now() + timedelta(hours=2), place.pool_id)
    pass_time(place, hours=24)
    with pytest.raises(AzureError, match="404 ResourceNotFound"):
        place.estate.hosts.list(place.pool_id)
    assert len(place.estate.machines.everything()) == 2
