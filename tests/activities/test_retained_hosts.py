"""Keeping replaced hosts, taking them back, and removing those whose time is over, on the simulated Azure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollout.model import QUARANTINE_TAG, RETAINED_TAG, ROLLOUT_TAG, SessionHost
from rollout.steps import QuarantineHost, RestoreHost, RetainHost, StopDraining
from simulator.faults import Site
from tests.activities.orders import carry_out, run
from tests.adapters.office import EXCLUSION_TAG, ROLLOUT, SimulatedOffice


def drained(office: SimulatedOffice, name: str = "") -> SessionHost:
    """An outdated host that the rollout has drained, as a snapshot shows it."""
    host = office.look(version="1.0.0").hosts[0]
    office.estate.hosts.update(office.pool_id, host.name, allow_new_session=False)
    office.estate.machines.patch_tags(host.vm_id, {**host.tags, ROLLOUT_TAG: ROLLOUT, EXCLUSION_TAG: "goldroll"})
    return office.look(version="1.0.0").hosts[0]


def retain(office: SimulatedOffice, host: SessionHost) -> Any:
    until = office.clock() + timedelta(days=2)
    step = RetainHost(host.name, host.vm_id, host.registration, until, "kept")
    return carry_out(office, step)


def restore(office: SimulatedOffice, host: SessionHost) -> Any:
    return carry_out(office, RestoreHost(host.name, host.vm_id, host.registration, "back"))


def retained(office: SimulatedOffice) -> SessionHost:
    """A host that is kept, let go of by its rollout."""
    host = drained(office)
    assert retain(office, host) == {"ok": True}
    office.wait(minutes=5)
    assert retain(office, host) == {"ok": True}
    return seen(office, host)


def seen(office: SimulatedOffice, host: SessionHost) -> SessionHost:
    return next(one for one in office.look(version="1.0.0").hosts if one.name == host.name)


def expire(office: SimulatedOffice, days: int) -> Any:
    moment = (office.clock() + timedelta(days=days)).isoformat()
    return run("remove_retained_hosts", {"pool_id": office.pool_id, "now": moment})


def test_a_host_is_tagged_first_then_switched_off_then_let_go_of(office: SimulatedOffice) -> None:
    host = drained(office)
    retain(office, host)
    machine = office.estate.machines.get(host.vm_id)
    assert {RETAINED_TAG, ROLLOUT_TAG} <= machine.tags.keys()

    office.wait(minutes=5)
    retain(office, host)

    machine = office.estate.machines.get(host.vm_id)
    assert not machine.running
    assert ROLLOUT_TAG not in machine.tags
    # Autoscale would start it: that tag stays.
    assert machine.tags[EXCLUSION_TAG] == "goldroll"
    assert machine.tags[RETAINED_TAG].endswith("Z")


def test_somebody_who_has_signed_in_meanwhile_keeps_the_host(office: SimulatedOffice) -> None:
    host = drained(office)
    office.estate.hosts.update(office.pool_id, host.name, allow_new_session=True)
    answer = retain(office, host)
    assert answer["error"]["code"] == "HostInUse"
    assert office.estate.machines.get(host.vm_id).running
    assert RETAINED_TAG not in office.estate.machines.get(host.vm_id).tags


def test_a_kept_host_is_taken_back_and_started(office: SimulatedOffice) -> None:
    host = retained(office)
    assert restore(office, host) == {"ok": True}
    office.wait(minutes=10)

    machine = office.estate.machines.get(host.vm_id)
    assert machine.running
    assert machine.tags[ROLLOUT_TAG] == ROLLOUT
    assert RETAINED_TAG not in machine.tags
    assert not seen(office, host).allows_new_sessions
    assert restore(office, host) == {"ok": True}  # twice is harmless


def test_a_kept_host_is_removed_when_its_time_is_over_and_not_before(office: SimulatedOffice) -> None:
    host = retained(office)
    assert expire(office, 1) == {"removed": [], "kept": {}}
    assert expire(office, 3) == {"removed": [host.name], "kept": {}}
    office.wait(minutes=10)
    assert host.name not in [one.name for one in office.look(version="1.0.0").hosts]


def test_one_that_somebody_has_started_is_left_alone(office: SimulatedOffice) -> None:
    host = retained(office)
    office.estate.machines.start(host.vm_id)
    office.wait(minutes=10)
    answer = expire(office, 3)
    assert (answer["removed"], list(answer["kept"])) == ([], [host.name])


def test_a_tag_that_cannot_be_read_keeps_the_host(office: SimulatedOffice) -> None:
    host = retained(office)
    tags = office.estate.machines.get(host.vm_id).tags
    office.estate.machines.patch_tags(host.vm_id, {**tags, RETAINED_TAG: "for ever"})
    assert expire(office, 300)["kept"] == {host.name: "until when it is kept cannot be read from its tag"}


def test_a_pool_that_cannot_be_read_is_an_error(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "/sessionHosts", Site.THROTTLED)
    assert "error" in expire(office, 3)


@pytest.mark.parametrize("given", [{}, {"pool_id": 1}])
def test_an_order_that_cannot_be_read_is_an_error(office: SimulatedOffice, given: Any) -> None:
    assert "error" in run("remove_retained_hosts", given)


def test_a_host_that_cannot_be_switched_off_and_is_given_back_is_kept_no_longer(office: SimulatedOffice) -> None:
    """Else it would serve people and count for nothing: no rollout would ever replace it."""
    host = drained(office)
    office.faults.fail_next("POST", "/deallocate", Site.THROTTLED)
    assert "error" in retain(office, host)
    assert RETAINED_TAG in office.estate.machines.get(host.vm_id).tags

    assert carry_out(office, StopDraining(host.name, host.vm_id, host.registration, "given back")) == {"ok": True}

    assert {RETAINED_TAG, ROLLOUT_TAG} & office.estate.machines.get(host.vm_id).tags.keys() == set()
    assert seen(office, host).allows_new_sessions


def test_a_quarantined_host_is_taken_back_drained_and_put_into_service_without_a_mark(office: SimulatedOffice) -> None:
    host = drained(office)
    quarantine = QuarantineHost(host.name, host.vm_id, host.registration, "NotReadyInTime", "it failed")
    assert carry_out(office, quarantine) == {"ok": True}
    assert QUARANTINE_TAG in seen(office, host).tags

    assert restore(office, host) == {"ok": True}
    assert restore(office, host) == {"ok": True}  # twice is harmless
    back = seen(office, host)
    assert (QUARANTINE_TAG in back.tags, back.tags[ROLLOUT_TAG]) == (False, ROLLOUT)
    assert (back.power, back.allows_new_sessions) == ("running", False)
    carry_out(office, StopDraining(host.name, host.vm_id, host.registration, "well", is_new=True))
    served = seen(office, host)
    assert served.allows_new_sessions
    assert not {ROLLOUT_TAG, QUARANTINE_TAG, EXCLUSION_TAG} & served.tags.keys()
