"""Sessions: where the broker puts people, how sessions end, and how the ledger counts it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from simulator.builders import Office
from simulator.errors import AzureError
from simulator.host_pools import LoadBalancing, PoolType, Session, SessionState
from simulator.journal import Kind
from tests.simulator.building_hosts import office, pass_time


def sign_in(place: Office, name: str) -> Session:
    session = place.estate.sessions.sign_in(place.pool_id, f"{name}@contoso.com")
    assert session is not None
    return session


def loads(place: Office) -> list[int]:
    return [len(host.sessions) for host in place.estate.hosts.list(place.pool_id)]


def test_breadth_first_spreads_people() -> None:
    place = office(hosts=3)
    for index in range(7):
        sign_in(place, f"p{index}")
    assert sorted(loads(place)) == [2, 2, 3]


def test_depth_first_fills_one_host_after_the_other() -> None:
    place = office(hosts=3, max_session_limit=4, load_balancing=LoadBalancing.DEPTH_FIRST)
    for index in range(6):
        sign_in(place, f"p{index}")
    assert sorted(loads(place)) == [0, 2, 4]


def test_nobody_is_put_on_a_draining_host() -> None:
    place = office(hosts=2)
    place.estate.hosts.update(place.pool_id, "avd-000", allow_new_session=False)
    assert {sign_in(place, f"p{index}").host.name for index in range(5)} == {"avd-001"}


def test_who_has_a_session_returns_to_it_even_in_drain_mode() -> None:
    place = office(hosts=2)
    session = sign_in(place, "ann")
    place.estate.sessions.disconnect(place.pool_id, session.host.name, session.number)
    place.estate.hosts.update(place.pool_id, session.host.name, allow_new_session=False)
    assert sign_in(place, "ann") is session
    assert session.state is SessionState.ACTIVE
    assert place.estate.ledger.sign_ins == 1


def test_without_a_free_slot_a_sign_in_is_refused_and_counted() -> None:
    place = office(hosts=1, max_session_limit=2)
    sign_in(place, "ann")
    sign_in(place, "ben")
    assert place.estate.sessions.sign_in(place.pool_id, "cem@contoso.com") is None
    assert place.estate.ledger.refused_sign_ins == 1


def test_free_slots_count_only_what_the_broker_could_use() -> None:
    place = office(hosts=4, max_session_limit=5, powered_off=1, drained_by_somebody=1)
    assert place.estate.free_slots(place.pool_id) == 10
    sign_in(place, "ann")
    assert place.estate.free_slots(place.pool_id) == 9
    place.estate.hosts.set_health(place.pool_id, "avd-000", "SxSStackListenerCheck", "broken")
    assert place.estate.free_slots(place.pool_id) in (4, 5)
    assert place.pool.min_free_slots == place.estate.free_slots(place.pool_id)


def test_the_least_free_slots_are_remembered_with_their_moment() -> None:
    place = office(hosts=2, max_session_limit=5)
    pass_time(place, minutes=30)
    place.estate.hosts.update(place.pool_id, "avd-000", allow_new_session=False)
    moment = place.estate.now()
    pass_time(place, minutes=30)
    place.estate.hosts.update(place.pool_id, "avd-000", allow_new_session=True)
    assert (place.estate.ledger.min_free_slots, place.estate.ledger.min_free_slots_at) == (5, moment)
    assert place.estate.free_slots(place.pool_id) == 10


def test_an_administrators_sign_out_of_an_active_session_is_forced() -> None:
    place = office(hosts=1)
    session = sign_in(place, "ann")
    with place.estate.acting_as("rollout"):
        place.estate.sessions.sign_out(place.pool_id, "avd-000", session.number)
    assert place.estate.ledger.forced_by_actor == {"rollout": 1}
    assert place.pool.sessions == {}


def test_the_sign_out_of_a_disconnected_session_is_counted_apart() -> None:
    place = office(hosts=1)
    session = sign_in(place, "ann")
    place.estate.sessions.disconnect(place.pool_id, "avd-000", session.number)
    place.estate.sessions.sign_out(place.pool_id, "avd-000", session.number)
    assert (place.estate.ledger.forced_sign_outs, place.estate.ledger.disconnected_sign_outs) == (0, 1)


def test_people_forced_out_twice_are_counted_once_each() -> None:
    place = office(hosts=1)
    for name in ("ann", "ann", "ann", "ben", "cem", "cem"):
        session = sign_in(place, name)
        place.estate.sessions.sign_out(place.pool_id, "avd-000", session.number)
    assert place.estate.ledger.signed_out_twice == 2


@pytest.mark.parametrize("how", ["delete", "deallocate", "power_off"])
def test_taking_a_machine_away_forces_its_people_out(how: str) -> None:
    place = office(hosts=1)
    sign_in(place, "ann")
    with place.estate.acting_as("rollout"):
        getattr(place.estate.machines, how)(place.machine_id("avd-000"))
    assert place.estate.ledger.forced_by_actor == {"rollout": 1}


def test_a_session_that_is_gone_is_a_404() -> None:
    place = office(hosts=1)
    with pytest.raises(AzureError, match="User session ID not found"):
        place.estate.sessions.sign_out(place.pool_id, "avd-000", 7)


def test_a_disconnected_session_ends_at_the_pools_limit() -> None:
    place = office(hosts=1, disconnected_limit=timedelta(hours=2))
    session = sign_in(place, "ann")
    place.estate.sessions.disconnect(place.pool_id, "avd-000", session.number)
    pass_time(place, minutes=119)
    assert place.pool.sessions
    pass_time(place, minutes=1)
    assert not place.pool.sessions
    assert [entry.by for entry in place.estate.journal.of(Kind.DISCONNECTED_OUT)] == ["session limit"]


def test_a_session_used_again_before_the_limit_stays() -> None:
    place = office(hosts=1, disconnected_limit=timedelta(hours=2))
    session = sign_in(place, "ann")
    place.estate.sessions.disconnect(place.pool_id, "avd-000", session.number)
    pass_time(place, hours=1)
    sign_in(place, "ann")
    pass_time(place, hours=5)
    assert session.state is SessionState.ACTIVE


def test_an_empty_message_is_refused() -> None:
    place = office(hosts=1)
    session = sign_in(place, "ann")
    with pytest.raises(AzureError, match="must not be empty"):
        place.estate.sessions.send_message(place.pool_id, "avd-000", session.number, "", "text")
    place.estate.sessions.send_message(place.pool_id, "avd-000", session.number, "title", "text")
    assert place.estate.ledger.messages_sent == 1


def test_a_personal_host_belongs_to_who_came_first() -> None:
    place = office(hosts=2, pool_type=PoolType.PERSONAL)
    ann = sign_in(place, "ann")
    ben = sign_in(place, "ben")
    assert ann.host is not ben.host
    place.estate.sessions.sign_out(place.pool_id, ann.host.name, ann.number)
    assert place.estate.sessions.sign_in(place.pool_id, "cem@contoso.com") is None
    assert sign_in(place, "ann").host is ann.host


def test_a_person_who_finds_no_slot_starts_a_stopped_host_where_that_is_allowed() -> None:
    place = office(hosts=2, powered_off=1, max_session_limit=1, start_vm_on_connect=True)
    sign_in(place, "ann")
    assert place.estate.sessions.sign_in(place.pool_id, "ben@contoso.com") is None
    pass_time(place, minutes=10)
    assert sign_in(place, "ben").host.name == "avd-001"
