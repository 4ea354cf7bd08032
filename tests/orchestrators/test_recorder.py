"""What a host pool's rollout does about its record, in the real Durable SDK's replay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from msgspec import structs

from rollout.assignments import PoolRollout
from rollout.outbox import (
    MOST_ATTEMPTS,
    MOST_KEPT,
    MOST_REFUSALS,
    RECORD,
    REFUSED,
    WEBHOOK,
    Batch,
    Owed,
    begin,
    delivered,
    due,
    failed,
    gives_up,
    note,
    pack,
)
from rollout.outbox import unpack_batch as read
from rollout.pool import start
from rollout.recording import Event
from rollout.travelling import pack as pack_state
from tests.orchestrators.stage import START, Crash, Play, Played
from tests.orchestrators.test_roll_host_pool import MINE, NEWER, Turns, draining, fine, json_lease, removing
from tests.rollout.builders import a_policy, version_id

OUT = {"error": {"code": "ServiceUnavailable", "message": "busy"}}


def news(sentence: str = "news") -> tuple[Event, ...]:
    return (Event(START, "Noted", sentence),)


class Telling(Turns):
    """Turns that each have one piece of news."""

    def __call__(self, turn: Any) -> Any:
        assert turn["recorded"]
        told = pack(news(f"turn {len(self.seen)}"))
        return {**super().__call__(turn), "events": told}


def roll(turns: Turns, write: Any, hand_over: Any = fine) -> Played:
    answers: dict[str, Any] = {"decide_turn": turns, "start_draining": fine, "remove_host": fine}
    stage = Play("roll_host_pool", answers | {"write_record": write, "hand_over_record": hand_over}, MINE)
    rollout = PoolRollout(version_id("2.0.0"), a_policy(), recorded=True, image="win11")
    return stage.play(msgspec.to_builtins(rollout))


def messages(batches: list[Any]) -> list[str]:
    return [event.message for batch in batches for event in read(batch).events]


def test_news_is_written_beside_the_steps_and_the_rest_at_the_end() -> None:
    played = roll(Telling([draining("avd-001")], [], [removing("avd-001")], []), fine)

    assert messages(played.called("write_record"))[:4] == ["turn 0", "turn 1", "turn 2", "turn 3"]
    numbers = [event.number for batch in played.called("write_record") for event in read(batch).events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert not played.called("hand_over_record")


def test_a_write_that_fails_holds_no_turn_up_and_is_handed_over_at_the_end() -> None:
    played = roll(Telling([draining("avd-001")], [removing("avd-001")], []), lambda _: OUT)

    assert played.output["phase"] == "Succeeded"
    assert played.ended_at - START < timedelta(minutes=11)
    assert messages(played.called("hand_over_record")) == ["turn 0", "turn 1", "turn 2"]


def test_a_writer_that_dies_loses_nothing() -> None:
    def dies(_: Any) -> Any:
        raise Crash("the worker was restarted")

    played = roll(Telling([], [], []), dies)

    assert messages(played.called("hand_over_record")) == ["turn 0", "turn 1", "turn 2"]


def test_a_record_that_is_switched_off_meanwhile_is_let_go() -> None:
    played = roll(Telling([], [], []), lambda _: {"off": True})

    assert len(played.called("write_record")) == 1
    assert not played.called("hand_over_record")


def test_what_is_unwritten_travels_into_new_executions() -> None:
    turns = Telling(*([draining("avd-001")] for _ in range(12)), [])

    played = roll(turns, lambda _: OUT)

    assert played.executions > 1
    assert messages(played.called("hand_over_record")) == [f"turn {turn}" for turn in range(13)]


def test_a_keeper_tries_until_the_record_can_be_written() -> None:
    answers = [OUT] * 30 + [{"ok": True}]
    stage = Play("keep_record", {"write_record": lambda _: answers.pop(0)}, "record-1")

    played = stage.play({"batch": pack(Batch("r", "win11", "2.0.0", "", news())), "attempts": 0})

    assert played.output == {"written": True}
    assert played.executions == 2
    assert len(played.called("write_record")) == 31


REFUSES = {"error": {"code": REFUSED, "message": "the webhook answers 410", "retriable": False}}
TOLD = Batch("r", "win11", "2.0.0", "", (Event(START, "Approved", "andrea approves", number=1),), WEBHOOK)


def keep(answer: Any) -> Played:
    stage = Play("keep_record", {"send_notifications": answer}, "webhook-1")
    return stage.play({"batch": pack(TOLD), "attempts": 0})


def test_a_keeper_of_notifications_gives_up_what_is_refused_for_good() -> None:
    played = keep(lambda _: REFUSES)

    assert played.output == {"written": False}
    assert len(played.called("send_notifications")) == MOST_REFUSALS
    assert played.ended_at - START < timedelta(hours=1)


def test_a_keeper_of_notifications_tries_for_three_days() -> None:
    played = keep(lambda _: OUT)

    assert played.output == {"written": False}
    assert timedelta(days=3) < played.ended_at - START < timedelta(days=3, hours=4)


def test_a_keeper_delivers_the_rest_when_there_was_no_time_for_all() -> None:
    many = structs.replace(TOLD, events=tuple(structs.replace(TOLD.events[0], number=n) for n in range(1, 4)))
    answers = [{"ok": True, "left": ["2", "3"]}, {"ok": True}]
    stage = Play("keep_record", {"send_notifications": lambda _: answers.pop(0)}, "webhook-1")

    played = stage.play({"batch": pack(many), "attempts": 0})

    assert played.output == {"written": True}
    given = [[event.number for event in read(order).events] for order in played.called("send_notifications")]
    assert given == [[1, 2, 3], [2, 3]]


def test_an_outage_of_the_webhook_is_none_of_the_records() -> None:
    answers: dict[str, Any] = {"decide_turn": Notifying([], [], []), "write_record": fine}
    stage = Play("roll_host_pool", answers | {"send_notifications": lambda _: OUT, "hand_over_record": fine}, MINE)
    rollout = PoolRollout(version_id("2.0.0"), a_policy(), recorded=True, image="win11", notified=(WEBHOOK,))

    played = stage.play(msgspec.to_builtins(rollout))

    assert messages(played.called("write_record")) == ["turn 0", "turn 1", "turn 2"]
    assert messages(played.called("hand_over_record")) == ["turn 0", "turn 1", "turn 2"]
    assert {read(batch).sink for batch in played.called("hand_over_record")} == {WEBHOOK}


class Notifying(Telling):
    """Turns that each have news for everybody."""

    def __call__(self, turn: Any) -> Any:
        assert turn["notified"]
        told = pack((Event(START, "CanaryPassed", f"turn {len(self.seen)}"),))
        return {**super().__call__(turn), "events": told}


def test_a_lease_that_is_lost_ends_the_suppression_of_alerts() -> None:
    begun = start(MINE, a_policy().host_pool_id, version_id("2.0.0"), START)
    begun = structs.replace(begun, replaced={"avd-1": "/vm"})
    rollout = PoolRollout(version_id("2.0.0"), a_policy(), pack_state(begun), image="win11", notified=(WEBHOOK,))

    def somebody_takes_the_pool(_: Any) -> Any:
        stage.entities.update(
            {key: json_lease(NEWER, "3.0.0", stage.now) for key in stage.entities if key.startswith("@host_pool@")}
        )
        return {"ok": True}

    answers: dict[str, Any] = {
        "decide_turn": Turns([draining("avd-001")], []),
        "start_draining": somebody_takes_the_pool,
    }
    stage = Play("roll_host_pool", {**answers, "send_notifications": fine}, MINE)

    played = stage.play(msgspec.to_builtins(rollout))

    (batch,) = played.called("send_notifications")
    assert [(event.kind, event.resource) for event in read(batch).events] == [
        ("HostReplacementEnded", "/vm"),
        ("RolloutEnded", ""),
    ]


def test_a_rollout_that_an_earlier_version_has_started_calls_nothing_new() -> None:
    before = {"version_id": version_id("2.0.0"), "policy": msgspec.to_builtins(a_policy())}
    stage = Play("roll_host_pool", {"decide_turn": Turns([], [])}, MINE)

    played = stage.play(before)

    assert played.output["phase"] == "Succeeded"
    assert {name for name in played.names if not name.startswith("host_pool.")} == {"decide_turn"}


def owing(count: int = 1) -> Owed:
    return note(begin(START), news() * count, [RECORD], of_pool=True).owed[RECORD]


def test_failures_pause_longer_each_time_and_give_up_in_the_end() -> None:
    owed = owing()
    for attempt in range(MOST_ATTEMPTS):
        assert not gives_up(owed, RECORD)
        owed = failed(owed, owed.events, None, START, RECORD)
        assert owed.retry_at == START + timedelta(minutes=2**attempt)
        assert due(owed, START, RECORD) == (owed.events if gives_up(owed, RECORD) else ())
    assert gives_up(owed, RECORD)
    assert not gives_up(delivered(owed, owed.events), RECORD)


def test_too_many_events_are_handed_over_as_soon_as_writing_fails() -> None:
    many = owing(MOST_KEPT[RECORD] + 1)

    assert not gives_up(many, RECORD)
    assert gives_up(failed(many, many.events, None, START, RECORD), RECORD)
