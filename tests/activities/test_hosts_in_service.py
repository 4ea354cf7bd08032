"""Draining, giving back, releasing, removing and quarantining hosts: what is changed, in which order, and when not."""

from __future__ import annotations

import pytest

from adapters.errors import StepFailed
from adapters.session_hosts import delete_registration
from rollout.model import QUARANTINE_TAG, ROLLOUT_TAG, SessionHost
from rollout.steps import QuarantineHost, ReleaseHost, RemoveHost, StartDraining, Step, StopDraining
from simulator.errors import AzureError
from simulator.faults import Site
from tests.activities.orders import carry_out, installing, joining, provisioning
from tests.adapters.office import EXCLUSION_TAG, ROLLOUT, SimulatedOffice, simulated_office

OK = {"ok": True}
WHY = "a test asks for it"


def start_draining(host: SessionHost) -> StartDraining:
    return StartDraining(host.name, host.vm_id, host.registration, WHY)


def stop_draining(host: SessionHost) -> StopDraining:
    return StopDraining(host.name, host.vm_id, host.registration, WHY)


def remove(host: SessionHost) -> RemoveHost:
    return RemoveHost(host.name, host.vm_id, host.registration, WHY)


def test_a_draining_host_is_tagged_kept_from_autoscale_and_accepts_nobody(office: SimulatedOffice) -> None:
    assert carry_out(office, start_draining(office.host("avd-000"))) == OK

    host = office.host("avd-000")
    assert host.is_held_by(ROLLOUT)
    assert EXCLUSION_TAG in host.tags
    assert not host.allows_new_sessions


def test_a_host_is_tagged_before_it_is_drained(office: SimulatedOffice) -> None:
    office.faults.fail_next("PATCH", "sessionHosts", Site.LOST_REQUEST)

    answer = carry_out(office, start_draining(office.host("avd-000")))

    assert answer["error"]["code"] == "ConnectionLost"
    assert office.host("avd-000").is_held_by(ROLLOUT)
    assert office.host("avd-000").allows_new_sessions


def test_a_host_that_is_given_back_is_as_it_was(office: SimulatedOffice) -> None:
    before = office.host("avd-000")

    carry_out(office, start_draining(before))
    assert carry_out(office, stop_draining(before)) == OK

    assert office.host("avd-000").tags == before.tags
    assert office.host("avd-000").allows_new_sessions


def test_a_host_that_no_rollout_holds_any_more_stays_as_somebody_has_it(office: SimulatedOffice) -> None:
    with office.estate.acting_as("administrator"):
        office.estate.hosts.update(office.pool_id, "avd-000", allow_new_session=False)

    assert carry_out(office, stop_draining(office.host("avd-000"))) == OK

    assert not office.host("avd-000").allows_new_sessions


def test_a_new_host_is_put_into_service_without_another_look(office: SimulatedOffice) -> None:
    carry_out(office, start_draining(office.host("avd-000")))
    host = office.host("avd-000")
    before = office.arm.calls["virtualMachines.get"]

    assert carry_out(office, StopDraining(host.name, host.vm_id, host.registration, WHY, is_new=True)) == OK

    assert office.arm.calls["virtualMachines.get"] == before
    host = office.host("avd-000")
    assert host.allows_new_sessions
    assert not {ROLLOUT_TAG, EXCLUSION_TAG} & host.tags.keys()


def test_drain_mode_is_lifted_before_the_tag_goes(office: SimulatedOffice) -> None:
    carry_out(office, start_draining(office.host("avd-000")))
    office.faults.fail_next("PATCH", "sessionHosts", Site.LOST_REQUEST)

    carry_out(office, stop_draining(office.host("avd-000")))

    # Still tagged: the rollout, or the next one, knows that it has to come back.
    assert office.host("avd-000").is_held_by(ROLLOUT)


def test_an_exclusion_from_autoscale_that_somebody_else_set_stays() -> None:
    with simulated_office(tags={"EXCLUDEFROMSCALING": "maintenance"}) as office:
        before = office.host("avd-000")

        carry_out(office, StartDraining(before.name, before.vm_id, before.registration, WHY, excluded=True))
        drained = office.host("avd-000")
        carry_out(office, stop_draining(before))

        assert drained.is_held_by(ROLLOUT)
        assert office.host("avd-000").tags == before.tags
        assert before.tags["EXCLUDEFROMSCALING"] == "maintenance"


def test_draining_twice_leaves_the_host_as_draining_once_did(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    carry_out(office, start_draining(host))
    once = office.host("avd-000")
    calls = office.arm.calls.copy()

    carry_out(office, start_draining(host))

    assert office.host("avd-000") == once
    assert set(office.arm.calls - calls) >= {"tags.patch", "sessionHosts.patch"}


def test_a_host_that_is_released_stays_in_drain_mode_without_tags(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    carry_out(office, start_draining(host))

    assert carry_out(office, ReleaseHost(host.name, host.vm_id, deallocate=False, reason=WHY)) == OK

    after = office.host("avd-000")
    assert (after.allows_new_sessions, after.tags) == (False, host.tags)


def test_a_host_that_is_switched_off_keeps_its_tag_until_it_is_released(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    carry_out(office, start_draining(host))

    assert carry_out(office, ReleaseHost(host.name, host.vm_id, deallocate=True, reason=WHY)) == OK
    office.wait(minutes=10)

    assert office.host("avd-000").is_powered_off
    assert office.host("avd-000").is_held_by(ROLLOUT)


def test_a_host_with_people_is_not_switched_off(busy_office: SimulatedOffice) -> None:
    host = next(host for host in busy_office.look().hosts if host.sessions)
    carry_out(busy_office, start_draining(host))

    answer = carry_out(busy_office, ReleaseHost(host.name, host.vm_id, deallocate=True, reason=WHY))

    assert answer["error"]["code"] == "HostInUse"
    assert busy_office.host(host.name).power == "running"


# ------------------------------------------------------------------------------------------------------- removing


def test_an_empty_drained_host_is_removed_with_all_that_belongs_to_it(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    carry_out(office, start_draining(host))

    assert carry_out(office, remove(host)) == OK
    office.wait(minutes=10)

    assert "avd-000" not in {host.name for host in office.look().hosts}
    assert "avd-000" not in office.look().names_in_use
    deletes = [path.rsplit("/", 2)[-2].lower() for method, path, _ in office.requests if method == "DELETE"]
    assert deletes == ["sessionhosts", "virtualmachines"]


def test_a_host_that_accepts_sessions_is_not_removed(office: SimulatedOffice) -> None:
    answer = carry_out(office, remove(office.host("avd-000")))

    assert answer["error"]["code"] == "HostInUse"
    assert not any(method == "DELETE" for method, _, __ in office.requests)


def test_a_host_on_which_somebody_has_appeared_is_not_removed(busy_office: SimulatedOffice) -> None:
    host = next(host for host in busy_office.look().hosts if host.sessions)
    carry_out(busy_office, start_draining(host))

    answer = carry_out(busy_office, remove(host))

    assert answer["error"]["code"] == "HostInUse"
    assert not any(method == "DELETE" for method, _, __ in busy_office.requests)


def test_a_session_that_appears_after_the_last_look_is_protected_by_azure(busy_office: SimulatedOffice) -> None:
    host = next(host for host in busy_office.look().hosts if host.sessions)

    with pytest.raises(StepFailed, match="HostInUse"):
        delete_registration(host.registration)


def test_sessions_listed_on_a_host_that_is_switched_off_hold_nothing_up(busy_office: SimulatedOffice) -> None:
    host = next(host for host in busy_office.look().hosts if host.sessions)
    carry_out(busy_office, start_draining(host))
    busy_office.estate.machines.deallocate(host.vm_id)
    busy_office.wait(minutes=2)

    assert carry_out(busy_office, remove(host)) == OK
    busy_office.wait(minutes=10)
    assert host.name not in {host.name for host in busy_office.look().hosts}


@pytest.mark.parametrize("what", ["sessionHosts", "virtualMachines"])
def test_a_removal_whose_answer_was_lost_is_finished_the_next_time(office: SimulatedOffice, what: str) -> None:
    host = office.host("avd-000")
    carry_out(office, start_draining(host))
    office.faults.fail_next("DELETE", what, Site.LOST_RESPONSE)

    assert carry_out(office, remove(host))["error"]["code"] == "ConnectionLost"
    office.wait(minutes=10)
    assert carry_out(office, remove(host)) == OK
    office.wait(minutes=10)

    assert "avd-000" not in office.look().names_in_use


def test_everything_that_is_gone_already_counts_as_removed(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    carry_out(office, start_draining(host))
    carry_out(office, remove(host))
    office.wait(minutes=10)

    steps: list[Step] = [
        remove(host),
        start_draining(host),
        stop_draining(host),
        ReleaseHost(host.name, host.vm_id, deallocate=True, reason=WHY),
        ReleaseHost(host.name, host.vm_id, deallocate=False, reason=WHY),
        QuarantineHost(host.name, host.vm_id, host.registration, "NotReadyInTime", WHY),
    ]
    assert [carry_out(office, step) for step in steps] == [OK] * len(steps)


def test_a_registration_without_a_vm_is_removed_though_sessions_are_listed(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    carry_out(office, start_draining(host))
    office.estate.machines.delete(host.vm_id)
    office.wait(minutes=10)

    assert carry_out(office, remove(office.host("avd-000"))) == OK
    assert "avd-000" not in {host.name for host in office.look().hosts}


def test_a_host_whose_vm_was_only_missing_from_a_list_is_not_removed(busy_office: SimulatedOffice) -> None:
    host = next(host for host in busy_office.look().hosts if host.sessions)
    carry_out(busy_office, start_draining(host))

    answer = carry_out(busy_office, RemoveHost(host.name, "", host.registration, WHY))

    assert answer["error"]["code"] == "HostInUse"
    assert not any(method == "DELETE" for method, _, __ in busy_office.requests)


def test_a_stray_that_has_registered_meanwhile_is_not_removed(office: SimulatedOffice) -> None:
    provisioning(office, "avd-017")
    office.wait(minutes=15)
    stray = office.host("avd-017")
    joining(office, stray)
    office.wait(minutes=5)
    installing(office, stray)
    office.wait(minutes=30)

    answer = carry_out(office, remove(stray))

    assert stray.registration == ""
    assert answer["error"]["code"] == "HostInUse"
    assert office.host("avd-017").registration


# ---------------------------------------------------------------------------------------------------- quarantining


def test_a_quarantined_host_is_kept_away_from_people_and_says_why(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    carry_out(office, start_draining(host))

    assert carry_out(office, QuarantineHost(host.name, host.vm_id, host.registration, "NotReadyInTime", WHY)) == OK

    after = office.host("avd-000")
    assert after.tags[QUARANTINE_TAG] == "NotReadyInTime"
    assert ROLLOUT_TAG not in after.tags
    assert EXCLUSION_TAG in after.tags
    assert not after.allows_new_sessions


def test_a_host_that_never_registered_is_quarantined_by_its_tag_alone(office: SimulatedOffice) -> None:
    provisioning(office, "avd-017")
    office.wait(minutes=15)
    host = office.host("avd-017")

    assert carry_out(office, QuarantineHost(host.name, host.vm_id, "", "NotReadyInTime", WHY)) == OK

    tags = office.estate.machines.get(host.vm_id).tags
    assert tags[QUARANTINE_TAG] == "NotReadyInTime"
    assert ROLLOUT_TAG not in tags


def test_a_refusal_for_want_of_rights_is_not_worth_repeating(office: SimulatedOffice) -> None:
    office.faults.fail_next("PATCH", "virtualMachines", AzureError(403, "AuthorizationFailed", "no write access"))

    error = carry_out(office, start_draining(office.host("avd-000")))["error"]

    assert error == {"code": "AuthorizationFailed", "message": "no write access", "retriable": False}


# ------------------------------------------------------------------------------------------------ somebody else's tags


def test_tags_that_somebody_sets_meanwhile_are_not_lost(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    office.estate.machines.patch_tags(host.vm_id, {**host.tags, "owner": "somebody"})

    carry_out(office, start_draining(host))
    drained = office.host("avd-000")
    carry_out(office, stop_draining(host))

    assert drained.is_held_by(ROLLOUT)
    assert drained.tags["owner"] == "somebody"
    assert office.host("avd-000").tags == {**host.tags, "owner": "somebody"}


def test_a_host_seen_with_the_tag_is_drained_without_another_look(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    before = office.arm.calls.total()

    assert carry_out(office, StartDraining(host.name, host.vm_id, host.registration, WHY, held=True)) == OK

    assert office.arm.calls.total() - before == 1


def test_a_removal_reads_drain_mode_and_the_count_of_sessions_again_and_nothing_else(office: SimulatedOffice) -> None:
    host = office.host("avd-000")
    carry_out(office, start_draining(host))
    before = office.arm.calls.copy()

    carry_out(office, remove(host))

    made = office.arm.calls - before
    assert set(made) == {"sessionHosts.get", "sessionHosts.delete", "virtualMachines.delete"}
    assert made.total() == 3
