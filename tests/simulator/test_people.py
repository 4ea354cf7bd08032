"""People: their days, what they do about messages, and what they do when they are thrown out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from simulator.builders import Office
from simulator.host_pools import SessionState
from simulator.journal import Kind
from simulator.workload import CONSTANT, LONG_SESSIONS, NIGHT, OFFICE, PRESETS, SHIFTS, STUBBORN, Workload
from tests.simulator.building_hosts import office, pass_time

MIDNIGHT = datetime.fromisoformat("2026-11-23T00:00:00+00:00")
DILIGENT = replace(OFFICE, attendance=1.0, forgets=0.0, lunch_disconnects=0.0)


def active(place: Office) -> int:
    return sum(session.state is SessionState.ACTIVE for session in place.pool.sessions.values())


def send_everybody_a_message(place: Office) -> None:
    for session in place.estate.sessions.list(place.pool_id):
        place.estate.sessions.send_message(place.pool_id, session.host.name, session.number, "Please", "sign out")


def test_an_office_fills_in_the_morning_and_empties_in_the_evening() -> None:
    place = office(hosts=4, people=30, workload=DILIGENT, start=MIDNIGHT)
    counts = []
    for _ in range(24):
        pass_time(place, hours=1)
        counts.append(active(place))
    assert counts[5] == 0
    assert counts[11] == 30
    assert counts[21] == 0


def test_an_office_is_nearly_empty_at_the_weekend() -> None:
    place = office(hosts=4, people=30, start=MIDNIGHT + timedelta(days=5))
    pass_time(place, hours=48)
    assert place.estate.ledger.sign_ins <= 6


def test_people_live_by_the_clock_of_their_own_zone() -> None:
    place = office(hosts=4, people=30, workload=replace(DILIGENT, zone="America/New_York"), start=MIDNIGHT)
    pass_time(place, hours=12)
    assert active(place) <= 10
    pass_time(place, hours=5)
    assert active(place) == 30


def test_the_day_the_clocks_change_does_not_shift_anybody() -> None:
    zone = ZoneInfo("Europe/Berlin")
    sharp = replace(DILIGENT, zone="Europe/Berlin", arrives_spread=0.0, weekend_attendance=1.0)
    start = datetime(2027, 3, 28, tzinfo=zone)
    place = office(hosts=4, people=5, workload=sharp, start=start)
    pass_time(place, hours=23)
    arrivals = {entry.at.astimezone(zone).time().hour for entry in place.estate.journal.of(Kind.SIGNED_IN)}
    assert arrivals == {8}


def test_night_people_work_at_night() -> None:
    place = office(hosts=4, people=30, workload=replace(NIGHT, attendance=1.0), start=MIDNIGHT + timedelta(hours=12))
    assert active(place) == 0
    pass_time(place, hours=12)
    assert active(place) >= 15


def test_shifts_keep_a_third_at_work_around_the_clock() -> None:
    place = office(hosts=4, people=30, workload=replace(SHIFTS, attendance=1.0), start=MIDNIGHT)
    pass_time(place, hours=24)
    for _ in range(24):
        pass_time(place, hours=1)
        assert 5 <= active(place) <= 20


def test_long_sessions_survive_the_night() -> None:
    workload = replace(LONG_SESSIONS, attendance=1.0)
    place = office(hosts=4, people=20, workload=workload, start=MIDNIGHT)
    pass_time(place, hours=26)
    assert (len(place.pool.sessions), active(place)) == (20, 0)
    pass_time(place, hours=10)
    assert place.estate.ledger.sign_ins == 20
    assert active(place) >= 10


def test_constant_load_stays_about_the_same() -> None:
    place = office(hosts=6, people=60, workload=CONSTANT, start=MIDNIGHT)
    counts = []
    for _ in range(24):
        pass_time(place, hours=1)
        counts.append(active(place))
    assert 25 <= min(counts) <= max(counts) <= 55


def test_who_is_in_the_office_when_the_estate_is_built_is_signed_in_at_once() -> None:
    place = office(hosts=4, people=30, workload=DILIGENT, start=MIDNIGHT + timedelta(hours=13))
    assert active(place) == 30
    assert place.estate.ledger.sign_ins == 0


def test_some_disconnect_for_lunch_and_come_back_to_the_same_session() -> None:
    place = office(hosts=4, people=30, workload=replace(DILIGENT, lunch_disconnects=1.0), start=MIDNIGHT)
    pass_time(place, hours=15)
    assert place.estate.ledger.kinds[Kind.DISCONNECTED] == 30
    assert place.estate.ledger.kinds[Kind.RECONNECTED] == 30
    assert place.estate.ledger.sign_ins == 30


def test_some_leave_without_signing_out() -> None:
    place = office(hosts=4, people=30, workload=replace(DILIGENT, forgets=1.0), start=MIDNIGHT)
    pass_time(place, hours=22)
    assert (len(place.pool.sessions), active(place)) == (30, 0)


def test_who_reads_a_message_and_obeys_signs_out_and_comes_back_elsewhere() -> None:
    workload = replace(DILIGENT, reads=1.0, obeys=1.0, comes_back=1.0)
    place = office(hosts=4, people=20, workload=workload, start=MIDNIGHT + timedelta(hours=11))
    place.estate.hosts.update(place.pool_id, "avd-000", allow_new_session=False)
    send_everybody_a_message(place)
    pass_time(place, minutes=40)
    assert len(place.pool.hosts["avd-000"].sessions) == 0
    assert active(place) == 20
    assert place.estate.ledger.forced_sign_outs == 0


def test_stubborn_people_stay_whatever_they_are_told() -> None:
    place = office(hosts=2, people=10, workload=STUBBORN)
    before = {session.number for session in place.estate.sessions.list(place.pool_id)}
    send_everybody_a_message(place)
    pass_time(place, hours=72)
    assert before <= {session.number for session in place.estate.sessions.list(place.pool_id)}
    assert place.estate.ledger.kinds[Kind.MESSAGE_READ] == 0


def test_a_message_to_a_disconnected_session_is_read_by_nobody() -> None:
    place = office(hosts=2, people=10, workload=replace(DILIGENT, forgets=1.0, reads=1.0), start=MIDNIGHT)
    pass_time(place, hours=22)
    send_everybody_a_message(place)
    pass_time(place, minutes=30)
    assert place.estate.ledger.messages_sent == 10
    assert place.estate.ledger.kinds[Kind.MESSAGE_READ] == 0


def test_who_is_thrown_out_at_work_is_back_a_few_minutes_later() -> None:
    place = office(hosts=2, people=10, workload=DILIGENT, start=MIDNIGHT + timedelta(hours=11))
    with place.estate.acting_as("rollout"):
        place.estate.machines.delete(place.machine_id("avd-000"))
    out = place.estate.ledger.forced_sign_outs
    assert out == 5
    assert active(place) == 10 - out
    pass_time(place, minutes=10)
    assert active(place) == 10


def test_who_is_thrown_out_after_work_does_not_come_back() -> None:
    place = office(hosts=2, people=10, workload=replace(DILIGENT, forgets=1.0), start=MIDNIGHT)
    pass_time(place, hours=22)
    place.estate.machines.delete(place.machine_id("avd-000"))
    pass_time(place, hours=1)
    assert len(place.pool.sessions) == 5
    assert place.estate.ledger.forced_sign_outs == 0


def test_who_is_refused_tries_again_until_there_is_room() -> None:
    place = office(hosts=2, people=10, workload=DILIGENT, start=MIDNIGHT, max_session_limit=5, powered_off=1)
    pass_time(place, hours=12)
    assert place.estate.ledger.refused_sign_ins > 10
    place.estate.machines.start(place.machine_id("avd-001"))
    pass_time(place, minutes=15)
    assert active(place) == 10


def test_who_is_disconnected_by_an_administrator_at_work_reconnects() -> None:
    place = office(hosts=1, people=1, workload=DILIGENT, start=MIDNIGHT + timedelta(hours=11))
    session = place.estate.sessions.list(place.pool_id)[0]
    place.estate.sessions.disconnect(place.pool_id, "avd-000", session.number)
    pass_time(place, minutes=10)
    assert session.state is SessionState.ACTIVE


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_lives_through_a_week(name: str) -> None:
    workload: Workload = PRESETS[name]
    place = office(hosts=5, people=30, workload=workload, start=MIDNIGHT)
    pass_time(place, days=7)
    assert any(place.estate.journal.of(Kind.SIGNED_IN))
    assert place.pool.free_slots == 50 - len(place.pool.sessions)
