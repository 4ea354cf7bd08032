"""Faults: scripted one by one, by chance in two stages, and what each does to a caller."""

from __future__ import annotations

import pytest

from simulator.errors import AzureError, ConnectionLost
from simulator.faults import AWFUL, FLAKY, Chance, Faults, Site
from tests.simulator.building_hosts import office

MACHINE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/avd-1"


class Door:
    """Something that can be knocked at, and counts it."""

    def __init__(self) -> None:
        self.knocks = 0

    def knock(self) -> int:
        self.knocks += 1
        return self.knocks


def test_without_faults_a_call_is_just_made() -> None:
    door = Door()
    assert Faults().call("PUT", MACHINE, door.knock) == 1


def test_a_lost_response_has_taken_effect() -> None:
    faults, door = Faults(), Door()
    faults.fail_next("PUT", "avd-1", Site.LOST_RESPONSE)
    with pytest.raises(ConnectionLost):
        faults.call("PUT", MACHINE, door.knock)
    assert door.knocks == 1
    assert faults.call("PUT", MACHINE, door.knock) == 2


def test_the_answer_to_a_list_can_be_lost_too() -> None:
    faults, door = Faults(), Door()
    faults.fail_next("GET", "virtualMachines", Site.LOST_RESPONSE)
    with pytest.raises(ConnectionLost):
        faults.call("LIST", MACHINE, door.knock)
    assert faults.call("LIST", MACHINE, door.knock) == 2


def test_a_lost_request_has_not() -> None:
    faults, door = Faults(), Door()
    faults.fail_next("PUT", "avd-1", Site.LOST_REQUEST)
    with pytest.raises(ConnectionLost):
        faults.call("PUT", MACHINE, door.knock)
    assert door.knocks == 0


def test_a_scripted_fault_strikes_as_often_as_asked_and_only_where_it_fits() -> None:
    faults, door = Faults(), Door()
    faults.fail_next("DELETE", "avd-1$", Site.SERVER_ERROR, times=2)
    faults.call("PUT", MACHINE, door.knock)
    faults.call("DELETE", MACHINE + "0", door.knock)
    for _ in range(2):
        with pytest.raises(AzureError, match=r"50[03]"):
            faults.call("DELETE", MACHINE, door.knock)
    faults.call("DELETE", MACHINE, door.knock)
    assert door.knocks == 3
    assert faults.counts == {Site.SERVER_ERROR: 2}


def test_compute_says_which_policy_was_exceeded() -> None:
    faults = Faults()
    faults.fail_next("*", "avd-1", Site.THROTTLED)
    with pytest.raises(AzureError) as throttled:
        faults.call("PUT", MACHINE, Door().knock)
    assert throttled.value.status == 429
    assert throttled.value.retry_after
    assert throttled.value.headers["x-ms-ratelimit-remaining-resource"] == "Microsoft.Compute/PutVM;0"
    assert not throttled.value.wrapped


def test_the_very_error_can_be_scripted() -> None:
    faults = Faults()
    faults.fail_next("GET", "avd-1", AzureError(418, "Teapot", "short and stout"))
    with pytest.raises(AzureError, match="418 Teapot"):
        faults.call("GET", MACHINE, Door().knock)


def test_a_stale_list_is_the_one_of_last_time() -> None:
    faults, door = Faults(), Door()
    faults.fail_next("LIST", "virtualMachines", Site.STALE_LIST)
    path = MACHINE.rsplit("/", 1)[0]
    assert [faults.call("LIST", path, door.knock) for _ in range(3)] == [1, 1, 2]


def test_a_site_that_is_off_in_a_run_never_fires() -> None:
    faults = Faults(1, {Site.THROTTLED: Chance(on=0.0, fires=1.0)})
    assert [faults.call("GET", MACHINE, Door().knock) for _ in range(100)] == [1] * 100


def test_a_site_that_is_on_fires_by_its_second_chance() -> None:
    faults = Faults(1, {Site.SLOW: Chance(on=1.0, fires=0.25)})
    struck = sum(faults.fires(Site.SLOW, "x") for _ in range(1000))
    assert 200 < struck < 300
    assert faults.counts[Site.SLOW] == struck


def test_different_runs_have_different_bad_luck() -> None:
    assert len({Faults(seed, FLAKY).sites_on for seed in range(20)}) > 5


def test_the_same_seed_has_the_same_bad_luck() -> None:
    def run(seed: int) -> list[str]:
        faults, outcomes = Faults(seed, AWFUL), []
        for _ in range(200):
            try:
                faults.call("PUT", MACHINE, Door().knock)
                outcomes.append("ok")
            except (AzureError, ConnectionLost) as error:
                outcomes.append(str(error))
        return outcomes

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_after_stop_nothing_goes_wrong() -> None:
    faults = Faults(3, {site: Chance(1.0, 1.0) for site in Site})
    faults.stop()
    assert faults.call("PUT", MACHINE, Door().knock) == 1


def test_faults_are_in_the_journal() -> None:
    place = office()
    place.estate.faults.fail_next("PUT", ".", Site.LOST_REQUEST)
    with pytest.raises(ConnectionLost):
        place.estate.faults.call("PUT", MACHINE, Door().knock)
    assert [entry.detail for entry in place.estate.journal.entries if entry.kind == "fault"] == ["lost_request"]
