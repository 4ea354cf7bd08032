"""What a host pool's rollout does about its record, in the real Durable SDK's replay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from rollout.assignments import PoolRollout
from rollout.outbox import (
    MOST_ATTEMPTS,
    MOST_KEPT,
    RECORD,
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
from rollout.recording import Event
from tests.orchestrators.stage import START, Crash, Play, Played
from tests.orchestrators.test_roll_host_pool import MINE, Turns, draining, fine, removing
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
