"""A roll back as a whole, and a pool that goes back by itself, in the real Durable SDK."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from rollout.assignments import ImageRollBack, PoolBack
from rollout.commands import Command
from rollout.model import Phase
from rollout.outbox import WEBHOOK, unpack_batch
from rollout.policy import ImagePolicy, hours
from rollout.recording import Event
from tests.orchestrators.stage import START, Later, Play, Played
from tests.rollout.builders import NEXT, a_policy, version_id

INSTANCE = "back-desktops-office-2.0.0-abc123"


def ends(phase: Phase) -> Any:
    def roll(given: Any) -> Any:
        pool = given["policy"]["name"]
        return Later(hours(2), {"pool": pool, "version": "1.0.0", "phase": phase, "message": ""})

    return roll


def play(
    roll: Any,
    *pools: str,
    latest: str = "earned",
    events: Any = (),
    told: Mapping[str, Any] | None = None,
    **answers: Any,
) -> Played:
    image = ImagePolicy(name="office", definition_id=version_id("1.0.0").rsplit("/versions", 1)[0], latest=latest)  # type: ignore[arg-type]
    going = tuple(PoolBack(a_policy(name=name), version_id("1.0.0"), 8) for name in pools or ("office",))
    back = ImageRollBack(
        version_id(NEXT), "image-x", image, going, "raj@contoso.com", "printing is broken", **told or {}
    )
    answers = {"roll_host_pool": roll, "mark_version": lambda _: {"ok": True}, **answers}
    stage = Play("roll_back_image", answers, INSTANCE)
    stage.events = [(START + at, "command", msgspec.to_builtins(command)) for at, command in events]
    return stage.play(msgspec.to_builtins(back))


def test_every_pool_goes_back_at_once_from_the_version_to_the_one_before() -> None:
    played = play(ends(Phase.ROLLED_BACK), "office", "branch")

    assert (played.output["phase"], played.output["version"]) == ("RolledBack", "2.0.0")
    begun = [(at, given["policy"]["name"]) for at, name, given in played.calls if name == "roll_host_pool"]
    assert begun == [(START, "office"), (START, "branch")]
    (order, _) = played.called("roll_host_pool")
    assert (order["version_id"], order["instead_of"], order["size"]) == (version_id("1.0.0"), version_id(NEXT), 8)
    assert played.ended_at - START < hours(2.1)
    assert played.statuses[0]["phase"] == "RollingBack"


def test_the_version_is_vetoed_where_latest_is_earned() -> None:
    (order,) = play(ends(Phase.ROLLED_BACK)).called("mark_version")
    assert order["version"] == version_id(NEXT)
    assert (order["mark"]["excluded"], order["mark"]["finding"]["verdict"]) == (True, "vetoed")
    assert order["mark"]["finding"]["reason"] == "rolled back by raj@contoso.com: printing is broken"


def test_the_gallery_is_left_alone_where_it_is_not_ours() -> None:
    assert play(ends(Phase.ROLLED_BACK), latest="as_published").called("mark_version") == []


def test_a_mark_that_is_refused_is_tried_again_and_holds_nothing_up() -> None:
    refusals = iter([{"error": {"code": "Conflict", "message": "busy"}}] * 3)
    played = play(ends(Phase.ROLLED_BACK), mark_version=lambda _: next(refusals, {"ok": True}))
    assert len(played.called("mark_version")) == 4
    assert played.output["phase"] == "RolledBack"


@pytest.mark.parametrize(
    ("phase", "whole"),
    [
        (Phase.HALTED, "Halted"),
        (Phase.REFUSED, "Failed"),
        (Phase.ABORTED, "Aborted"),
        (Phase.SUPERSEDED, "Superseded"),
    ],
)
def test_the_whole_is_as_good_as_its_worst_pool(phase: Phase, whole: str) -> None:
    def roll(given: Any) -> Any:
        return ends(phase if given["policy"]["name"] == "branch" else Phase.ROLLED_BACK)(given)

    assert play(roll, "office", "branch").output["phase"] == whole


def test_a_command_is_shown_and_one_that_changes_nothing_is_left_aside() -> None:
    pause = Command("pause", "raj@contoso.com", "a call")
    played = play(
        ends(Phase.ROLLED_BACK), events=[(hours(0.5), pause), (hours(0.6), pause), (hours(1), Command("resume", "raj"))]
    )
    shown = [status.get("command", {}).get("kind") for status in played.statuses]
    assert "pause" in shown
    assert played.output["phase"] == "RolledBack"


def test_an_event_that_cannot_be_read_changes_nothing() -> None:
    stage_events = [(hours(0.5), Command("pause", ""))]
    assert play(ends(Phase.ROLLED_BACK), events=stage_events).output["phase"] == "RolledBack"


TOLD = {"recorded": True, "notified": (WEBHOOK,), "tells": True}


def events_of(played: Played, activity: str) -> list[Event]:
    return [event for packed in played.called(activity) for event in unpack_batch(packed).events]


def done(_: Any) -> Any:
    return {"ok": True}


def test_who_rolls_back_and_why_is_told_once_and_so_is_the_end() -> None:
    played = play(ends(Phase.ROLLED_BACK), "office", "branch", told=TOLD, write_record=done, send_notifications=done)

    began, ended = events_of(played, "send_notifications")
    assert (began.kind, began.by) == ("RollBackStarted", "raj@contoso.com")
    assert began.message == "office 2.0.0 on office, branch is rolled back by raj@contoso.com: printing is broken"
    assert (ended.kind, ended.phase) == ("RolloutEnded", "RolledBack")
    assert ended.message == played.output["message"]
    recorded = events_of(played, "write_record")
    assert [event.kind for event in recorded if event.kind != "Noted"] == [
        "RollBackStarted",
        "PoolEnded",
        "PoolEnded",
        "RolloutEnded",
    ]
    assert [event.number for event in recorded] == sorted({event.number for event in recorded})


def test_a_command_to_a_roll_back_is_told_with_who_gave_it_and_one_that_changes_nothing_is_not() -> None:
    pause = Command("pause", "raj@contoso.com", "a call")
    events = [(hours(0.5), pause), (hours(0.6), pause), (hours(1), Command("resume", "raj"))]
    played = play(ends(Phase.ROLLED_BACK), events=events, told=TOLD, write_record=done, send_notifications=done)

    told = [(event.reason, event.by) for event in events_of(played, "send_notifications") if event.reason]
    assert told == [("Paused", "raj@contoso.com"), ("Resumed", "")]
    assert [event.by for event in events_of(played, "write_record") if event.kind == "CommandRefused"] == [pause.by]


def test_an_outage_of_both_holds_no_roll_back_up_and_what_is_left_is_handed_over() -> None:
    busy = {"error": {"code": "ServiceUnavailable", "message": "busy"}}
    handed_over: dict[str, Any] = {"write_record": lambda _: busy, "send_notifications": lambda _: busy}
    played = play(ends(Phase.ROLLED_BACK), told=TOLD, hand_over_record=done, **handed_over)

    assert played.output["phase"] == "RolledBack"
    assert played.ended_at - START < hours(2) + timedelta(minutes=1)
    kinds = [event.kind for event in events_of(played, "hand_over_record")]
    assert (kinds.count("RollBackStarted"), kinds.count("RolloutEnded")) == (2, 2)


def test_a_roll_back_that_an_earlier_version_has_started_goes_on_as_it_began() -> None:
    played = play(ends(Phase.ROLLED_BACK), told=TOLD | {"tells": False})

    assert played.output["phase"] == "RolledBack"
    assert set(played.names) == {"roll_host_pool", "mark_version"}
    (order,) = played.called("roll_host_pool")
    assert (order["recorded"], order["notified"]) == (True, [WEBHOOK])
