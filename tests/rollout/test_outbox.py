"""What each sink is owed: an outage of one is nothing to the others, and nothing is carried along for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from rollout.outbox import (
    MOST_KEPT,
    MOST_REFUSALS,
    MOST_TRIES,
    RECORD,
    REFUSED,
    TOPIC,
    WEBHOOK,
    Batch,
    Outbox,
    Owed,
    answered,
    begin,
    due,
    gives_up,
    keeper_instance,
    note,
    pack,
    unpack_outbox,
)
from rollout.recording import Event

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALL = (RECORD, TOPIC, WEBHOOK)


def event(number: int = 0, kind: str = "CanaryPassed") -> Event:
    return Event(NOON, kind, f"sentence {number} that says at some length what has happened", number=number)


def error(code: str, *, retry_after: float = 0) -> dict[str, Any]:
    return {"code": code, "message": "no", "retriable": True, "retry_after": retry_after}


def failing(code: str, **more: Any) -> dict[str, Any]:
    return {"error": error(code), **more}


def owed_of(count: int) -> Owed:
    return Owed(tuple(event(number) for number in range(1, count + 1)))


def test_each_sink_is_owed_what_it_wants_under_the_same_numbers() -> None:
    events = (event(kind="HostStageChanged"), event(), event(kind="HostReplacementStarted"))

    owed = note(begin(NOON), events, ALL, of_pool=True).owed

    first = int(NOON.timestamp()) * 100_000 + 1
    assert [one.number for one in owed[RECORD].events] == [first, first + 1]
    assert [one.number for one in owed[TOPIC].events] == [first + 1, first + 2]
    assert owed[TOPIC] == owed[WEBHOOK]


def test_what_an_earlier_version_had_not_written_yet_is_owed_to_the_record() -> None:
    class Unwritten(msgspec.Struct, omit_defaults=True):
        next: int
        events: tuple[Event, ...] = ()
        attempts: int = 0
        retry_at: datetime | None = None

    before: Any = Unwritten(9, (event(7), event(8)), 2, NOON)

    assert unpack_outbox(pack(before)) == Outbox(9, {RECORD: Owed((event(7), event(8)), 2, NOON)})


def test_what_is_owed_travels_whole() -> None:
    outbox = note(begin(NOON), (event(), event()), ALL, of_pool=True)

    assert unpack_outbox(pack(outbox)) == outbox


def test_a_receiver_that_asks_to_wait_is_left_alone_for_so_long() -> None:
    answer = {"error": error("Http429", retry_after=900)}

    after, lost = answered(owed_of(1), owed_of(1).events, answer, NOON, WEBHOOK)

    assert after.retry_at == NOON + timedelta(minutes=15)
    assert not lost
    assert due(after, NOON + timedelta(minutes=14), WEBHOOK) == ()


def test_those_that_have_arrived_are_not_sent_again_with_those_that_have_not() -> None:
    owed = owed_of(5)

    after, _ = answered(owed, owed.events, failing("Http503", left=["4", "5"]), NOON, WEBHOOK)

    assert [one.number for one in after.events] == [4, 5]
    assert after.attempts == 1


def test_those_for_which_there_was_no_time_are_due_at_once() -> None:
    owed = owed_of(5)

    after, lost = answered(owed, owed.events, {"ok": True, "left": ["5"]}, NOON, WEBHOOK)

    assert [one.number for one in due(after, NOON, WEBHOOK)] == [5]
    assert not lost


@pytest.mark.parametrize("sink", [TOPIC, WEBHOOK])
def test_what_is_refused_for_good_is_given_up_after_some_tries_and_later_events_are_not(sink: str) -> None:
    tried = owed_of(2).events
    owed = owed_of(3)
    lost: tuple[Event, ...] = ()
    for _ in range(MOST_REFUSALS):
        assert not lost
        assert tried[1] in owed.events
        owed, lost = answered(owed, tried, failing(REFUSED, left=["2"]), NOON, sink)

    assert [one.number for one in lost] == [2]
    assert [one.number for one in due(owed, NOON, sink)] == [3]


def test_the_record_gives_nothing_up() -> None:
    owed = Owed(owed_of(1).events, MOST_TRIES * 2)

    after, lost = answered(owed, owed.events, failing(REFUSED), NOON, RECORD)

    assert (after.events, lost) == (owed.events, ())


def test_a_receiver_that_is_out_of_reach_for_three_days_is_given_up() -> None:
    owed, at = owed_of(1), NOON
    while owed.events:
        owed, _ = answered(owed, owed.events, failing("ConnectionLost"), at, TOPIC)
        at = owed.retry_at or at

    assert timedelta(days=3) <= at - NOON <= timedelta(days=3, hours=4)


def test_an_activity_that_died_has_delivered_nothing_as_far_as_anybody_knows() -> None:
    after, lost = answered(owed_of(2), owed_of(2).events, None, NOON, WEBHOOK)

    assert (len(after.events), after.attempts, lost) == (2, 1, ())


def test_what_a_rollout_carries_along_through_an_outage_of_all_stays_small() -> None:
    full = Outbox(1, {sink: Owed(owed_of(MOST_KEPT[sink]).events, 1) for sink in ALL})

    assert not any(gives_up(owed, sink) for sink, owed in full.owed.items())
    assert all(gives_up(Owed((*owed.events, event(999)), 1), sink) for sink, owed in full.owed.items())
    assert len(pack(full)) < 16_000


def test_sinks_hand_the_same_events_over_to_different_keepers() -> None:
    batch = Batch("r", "win11", "2.0.0", "", (event(7),))

    assert keeper_instance(batch).startswith("record-")
    assert len({keeper_instance(msgspec.structs.replace(batch, sink=sink)) for sink in ALL}) == 3
