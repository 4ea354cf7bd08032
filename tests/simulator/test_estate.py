"""The estate as a whole: repeatable, lazy, fast, large, and disturbed by others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from time import process_time

import pytest

from simulator.builders import MONDAY_MORNING, Office, office_pool
from simulator.clock import SteppedClock
from simulator.estate import Estate
from simulator.faults import FLAKY, Faults
from simulator.host_pools import HostPool
from simulator.journal import Entry, Kind
from simulator.workload import OFFICE, SHIFTS
from tests.simulator.building_hosts import clock_of, new_host, office, pass_time


def busy_day(seed: int, step: timedelta = timedelta(minutes=7)) -> list[Entry]:
    """A day with people, a new host, faults, interference and messages; its journal."""
    clock = SteppedClock(MONDAY_MORNING)
    estate = Estate(clock, seed, faults=Faults(seed, FLAKY))
    place = office_pool(estate, 6, workload=[OFFICE, SHIFTS])
    place.publish_replicated("1.1.0")
    noon = MONDAY_MORNING + timedelta(hours=5)
    estate.interference.delete_host(noon, place.pool_id)
    estate.interference.autoscale_flips_drain_mode(noon + timedelta(hours=1), place.pool_id)
    estate.at(noon, lambda: new_message(place), by="administrator")
    while clock() < MONDAY_MORNING + timedelta(hours=12):
        clock.advance(step)
        estate.now()
    return estate.journal.entries


def new_message(place: Office) -> None:
    for session in place.estate.sessions.list(place.pool_id):
        place.estate.sessions.send_message(place.pool_id, session.host.name, session.number, "Hello", "there")


def test_the_same_seed_and_the_same_calls_give_the_same_journal() -> None:
    assert busy_day(5) == busy_day(5)


def test_another_seed_gives_another_journal() -> None:
    assert busy_day(5) != busy_day(6)


def test_how_often_the_estate_is_looked_at_changes_nothing() -> None:
    assert busy_day(5, timedelta(minutes=7)) == busy_day(5, timedelta(hours=3))


def test_two_rollouts_on_one_seed_meet_the_same_people() -> None:
    arrivals = []
    for extra in (False, True):
        place = office(hosts=6, people=40, seed=9)
        if extra:
            new_host(place, "avd-010")
        pass_time(place, hours=8)
        arrivals.append({(entry.at, entry.subject) for entry in place.estate.journal.of(Kind.SIGNED_IN)})
    assert arrivals[0] & arrivals[1] == min(arrivals, key=len)


def test_entries_of_the_journal_never_go_back_in_time() -> None:
    times = [entry.at for entry in busy_day(8)]
    assert times == sorted(times)


def test_subscribers_hear_everything_until_they_stop() -> None:
    place = office(hosts=2, people=10)
    heard: list[Entry] = []
    stop = place.estate.subscribe(heard.append)
    before = len(place.estate.journal.entries)
    pass_time(place, hours=4)
    assert heard == place.estate.journal.entries[before:]
    stop()
    count = len(heard)
    pass_time(place, hours=6)
    assert len(heard) == count


def test_a_scripted_event_happens_at_its_instant_and_by_its_actor() -> None:
    place = office(hosts=2)
    when = place.estate.now() + timedelta(minutes=90)
    place.estate.interference.drain_host(when, place.pool_id, "avd-001")
    pass_time(place, hours=5)
    drained = list(place.estate.journal.of(Kind.HOST_DRAINED))
    assert [(entry.at, entry.subject, entry.by) for entry in drained] == [(when, "hp-office/avd-001", "administrator")]


def test_autoscale_leaves_hosts_with_the_exclusion_tag_alone() -> None:
    place = office(hosts=6)
    tagged = [place.machine_id(f"avd-{index:03}") for index in range(3)]
    for machine_id in tagged:
        place.estate.machines.patch_tags(machine_id, {"excludeFromScaling": ""})
    when = place.estate.now() + timedelta(minutes=5)
    place.estate.interference.autoscale_flips_drain_mode(when, place.pool_id, share=1.0)
    pass_time(place, minutes=5)
    assert [host.name for host in place.estate.drained_hosts(place.pool_id)] == ["avd-003", "avd-004", "avd-005"]


@pytest.mark.parametrize(
    "disturb",
    [
        lambda o, when: o.estate.interference.delete_host(when, o.pool_id),
        lambda o, when: o.estate.interference.delete_machine(when, o.pool_id),
        lambda o, when: o.estate.interference.stop_host(when, o.pool_id),
        lambda o, when: o.estate.interference.fail_health(when, o.pool_id),
        lambda o, when: o.estate.interference.drain_host(when, o.pool_id),
    ],
)
def test_every_disturbance_costs_one_host(disturb: Callable[[Office, datetime], None]) -> None:
    place = office(hosts=4, max_session_limit=5)
    disturb(place, place.estate.now() + timedelta(minutes=1))
    pass_time(place, minutes=15)
    assert place.estate.free_slots(place.pool_id) == 15
    assert len(place.estate.accepting_hosts(place.pool_id)) == 3


def test_disturbances_of_a_pool_that_is_gone_do_nothing() -> None:
    place = office(hosts=2)
    start = place.estate.now()
    place.estate.interference.delete_pool(start + timedelta(minutes=1), place.pool_id)
    later = start + timedelta(minutes=2)
    place.estate.interference.delete_host(later, place.pool_id)
    place.estate.interference.autoscale_flips_drain_mode(later, place.pool_id)
    pass_time(place, minutes=5)
    assert len(place.estate.machines.everything()) == 2


def test_a_quota_can_be_raised_later() -> None:
    place = office(hosts=2, spare_hosts=0)
    place.estate.interference.set_quota(place.estate.now() + timedelta(hours=1), place.subscription, "westeurope", 40)
    assert place.estate.quota.usages(place.subscription, "West Europe")[0] == ("cores", 8, 8)
    pass_time(place, hours=1)
    assert place.estate.quota.usages(place.subscription, "westeurope")[0] == ("cores", 8, 40)


def test_a_version_can_be_deleted_by_somebody() -> None:
    place = office(hosts=1)
    place.publish_replicated("1.1.0")
    place.estate.interference.delete_version(place.estate.now() + timedelta(hours=1), place.version_id("1.1.0"))
    pass_time(place, hours=2)
    definition = place.estate.galleries.definition(place.definition_id)
    assert list(definition.versions) == ["1.0.0"]


def recounted(pool: HostPool) -> int:
    return sum(max(0, pool.max_session_limit - len(host.sessions)) for host in pool.hosts.values() if host.accepting)


@pytest.mark.parametrize("seed", range(10))
def test_the_running_count_of_free_slots_is_what_a_recount_gives(seed: int) -> None:
    place = office(hosts=6, people=45, seed=seed, max_session_limit=8)
    start = place.estate.now()
    for hour, disturb in enumerate(("delete_host", "stop_host", "drain_host", "undrain_host", "fail_health")):
        getattr(place.estate.interference, disturb)(start + timedelta(hours=hour), place.pool_id)
    differences: list[Entry] = []
    settled = {Kind.SIGNED_IN, Kind.SIGNED_OUT, Kind.FORCED_OUT, Kind.HOST_STATUS, Kind.HOST_DRAINED, Kind.HOST_REMOVED}

    def compare(entry: Entry) -> None:
        if entry.kind in settled and place.pool.free_slots != recounted(place.pool):
            differences.append(entry)

    place.estate.subscribe(compare)
    pass_time(place, hours=12)
    assert differences == []
    assert place.pool.free_slots == recounted(place.pool)


def test_a_thousand_hosts_and_ten_thousand_people_work() -> None:
    place = office(hosts=1000, people=10_000, max_session_limit=12)
    pass_time(place, hours=12)
    assert place.estate.ledger.sign_ins > 9000
    assert place.pool.free_slots == recounted(place.pool)


def test_half_a_day_of_twelve_hosts_costs_well_under_fifty_milliseconds() -> None:
    def once() -> float:
        before = process_time()
        pass_time(office(hosts=12, people=80), hours=12)
        return process_time() - before

    assert min(once() for _ in range(5)) < 0.05


def test_a_clock_does_not_run_backwards() -> None:
    clock = clock_of(office(hosts=1))
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(timedelta(seconds=-1))


def test_the_next_thing_that_happens_by_itself_is_known() -> None:
    place = office(hosts=1, people=1)
    due = place.estate.next_due()
    assert due is not None
    assert due > place.estate.now()
