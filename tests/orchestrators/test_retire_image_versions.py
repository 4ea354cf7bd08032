"""A run of retirement: plan, one step after the other, and the report; what fails is left to the next day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from rollout.outbox import TOPIC, WEBHOOK, Batch, unpack_batch
from rollout.policy import ImagePolicy, RetentionPolicy
from rollout.retention import ChangeVersion, DeleteVersion, RetentionPlan, RetentionStep, VersionPlan
from rollout.retirement import Retirement
from rollout.verdicts import Verdict
from tests.orchestrators.stage import START, Later, Play, Played, gaps
from tests.rollout.builders import version_id
from tests.rollout.versions import DEFINITION

THROTTLED = {"error": {"code": "TooManyRequests", "message": "slow down"}}
FORBIDDEN = {"error": {"code": "AuthorizationFailed", "message": "the client may not", "retriable": False}}
NO_ROLLOUTS: dict[str, Any] = {"running": {}}

OLD = ChangeVersion("2.0.0", version_id("2.0.0"), "too old: excluded from latest", exclude=True)
OLDER = DeleteVersion("1.1.0", version_id("1.1.0"), "much too old: deleted")
OLDEST = DeleteVersion("1.0.0", version_id("1.0.0"), "far too old: deleted")


def a_plan(*steps: RetentionStep, held: str = "", is_blind: bool = False) -> Any:
    newest_first = sorted(steps, key=lambda step: step.version, reverse=True)
    plans = tuple(VersionPlan(step.version, Verdict.GOOD, step.reason, step=step) for step in newest_first)
    return {"plan": msgspec.to_builtins(RetentionPlan(START, plans, held, is_blind))}


def play(
    plan: Any,
    *,
    apply: bool = True,
    rollouts: Callable[[Any], Any] = lambda _: NO_ROLLOUTS,
    update: Callable[[Any], Any] = lambda _: {},
    delete: Callable[[Any], Any] = lambda _: {},
    notified: tuple[str, ...] = (),
    send: Callable[[Any], Any] = lambda _: {"ok": True},
) -> Played:
    image = ImagePolicy(name="office", definition_id=DEFINITION, retention=RetentionPolicy(keep=2))
    stage = Play(
        "retire_image_versions",
        {
            "read_running_rollouts": rollouts,
            "plan_retirement": plan if callable(plan) else lambda _: plan,
            "update_image_version": update,
            "delete_image_version": delete,
            "send_notifications": send,
            "hand_over_record": lambda _: {"ok": True},
        },
        "retire-desktops-office-abcdef",
    )
    return stage.play(msgspec.to_builtins(Retirement(image, ("s1",), apply, "ada", "make room", notified)))


def in_turn(*answers: Any) -> Callable[[Any], Any]:
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_every_step_is_carried_out_and_the_report_says_what_was_done_and_for_whom() -> None:
    played = play(a_plan(OLD, OLDER, OLDEST))

    assert [name for _, name, _ in played.calls] == [
        "read_running_rollouts",
        "plan_retirement",
        "update_image_version",
        "read_running_rollouts",
        "delete_image_version",
        "read_running_rollouts",
        "delete_image_version",
    ]
    output = played.output
    assert output["message"] == "3 versions: 1 changed, 2 deleted"
    assert (output["image"], output["by"], output["why"], output["apply"]) == ("office", "ada", "make room", True)
    assert [(result["version"], result["outcome"]) for result in output["results"]] == [
        ("2.0.0", "done"),
        ("1.0.0", "done"),
        ("1.1.0", "done"),
    ]
    assert played.statuses[-1] == output


def test_a_plan_that_is_not_to_be_applied_changes_nothing() -> None:
    played = play(a_plan(OLD, OLDER), apply=False)

    assert played.called("update_image_version") == played.called("delete_image_version") == []
    assert played.output["message"] == "planned only: 2 versions: 1 to change, 1 to delete"


def test_what_holds_everything_up_is_the_message() -> None:
    held = "nothing is retired, because no version has been proven good yet"

    assert play(a_plan(held=held)).output["message"] == held


def test_without_anything_to_do_the_run_is_over_at_once() -> None:
    played = play(a_plan())

    assert (played.output["message"], len(played.calls)) == ("there is nothing to retire", 2)


def test_the_policy_the_subscriptions_and_the_rollouts_travel_with_every_order() -> None:
    played = play(a_plan(OLD), rollouts=lambda _: {"running": {"3.0.0": "image-x"}, "unreadable": ["one of them"]})

    for order in (*played.called("plan_retirement"), *played.called("update_image_version")):
        assert order["running"] == {"3.0.0": "image-x"}
        assert order["unreadable"] == ["one of them"]
        assert order["subscriptions"] == ["s1"]
        assert order["image"]["retention"]["keep"] == 2


def test_a_step_is_looked_for_in_a_plan_for_the_same_moment() -> None:
    played = play(a_plan(OLD, OLDER), update=lambda _: Later(timedelta(minutes=9), {}))

    (planned,), (changed,), (deleted,) = (
        played.called(name) for name in ("plan_retirement", "update_image_version", "delete_image_version")
    )
    assert planned["now"] == changed["now"] == deleted["now"]


def test_rollouts_are_looked_for_again_before_each_deletion() -> None:
    rollouts = in_turn(NO_ROLLOUTS, {"running": {"1.1.0": "image-x"}})
    played = play(a_plan(OLD, OLDER), rollouts=rollouts)

    (order,) = played.called("delete_image_version")
    assert order["running"] == {"1.1.0": "image-x"}


def test_a_step_that_is_no_longer_due_is_told_with_its_reason() -> None:
    played = play(a_plan(OLDER), delete=lambda _: {"skipped": "it is used by 1 VM"})

    assert played.output["message"] == "1 version: 1 no longer due"
    assert played.output["results"][0]["detail"] == "it is used by 1 VM"


def test_what_may_pass_is_tried_again_after_longer_and_longer_waits() -> None:
    played = play(a_plan(OLD), update=in_turn(THROTTLED, THROTTLED, {}))

    assert played.output["message"] == "1 version: 1 changed"
    waits = gaps([at for at, name, _ in played.calls if name == "update_image_version"])
    assert [round(wait.total_seconds() / 60) for wait in waits] == [1, 2]


def test_azure_is_not_asked_before_the_time_it_names() -> None:
    later = {"error": {"code": "TooManyRequests", "message": "slow down", "retry_after": 900}}
    played = play(a_plan(OLD), update=in_turn(later, {}))

    (wait,) = gaps([at for at, name, _ in played.calls if name == "update_image_version"])
    assert wait >= timedelta(minutes=15)


def test_one_step_that_fails_does_not_stop_the_others() -> None:
    played = play(a_plan(OLD, OLDER), update=lambda _: FORBIDDEN)

    assert played.output["message"] == "2 versions: 1 deleted, 1 failed"
    assert played.output["results"][0]["detail"] == "AuthorizationFailed: the client may not"
    assert len(played.called("update_image_version")) == 1


def test_a_step_that_fails_again_and_again_is_left_to_the_next_day() -> None:
    played = play(a_plan(OLD), update=lambda _: THROTTLED)

    assert len(played.called("update_image_version")) == 4
    assert played.output["message"] == "1 version: 1 failed"


def test_nothing_is_deleted_when_rollouts_can_no_longer_be_read() -> None:
    played = play(a_plan(OLD, OLDER), rollouts=in_turn(NO_ROLLOUTS, FORBIDDEN))

    assert played.called("delete_image_version") == []
    assert played.output["message"] == "2 versions: 1 changed, 1 failed"


def test_a_list_that_cannot_be_read_is_read_again_a_little_later() -> None:
    blind = a_plan(held="nothing is changed", is_blind=True)
    played = play(in_turn(blind, blind, a_plan(OLD)))

    assert played.output["message"] == "1 version: 1 changed"
    waits = gaps([at for at, name, _ in played.calls if name == "plan_retirement"])
    assert [round(wait.total_seconds() / 60) for wait in waits] == [1, 2]
    assert len(played.called("read_running_rollouts")) == 3


def test_a_list_that_stays_unreadable_ends_the_run_and_is_named() -> None:
    played = play(a_plan(held="nothing is changed, because ...", is_blind=True))

    assert played.output["message"] == "nothing is changed, because ..."
    assert len(played.called("plan_retirement")) == 4


def test_a_plan_that_cannot_be_made_changes_nothing() -> None:
    for broken in ({"rollouts": lambda _: FORBIDDEN, "plan": a_plan(OLD)}, {"plan": FORBIDDEN}):
        played = play(**broken)
        assert played.output["message"] == "it could not be planned: AuthorizationFailed: the client may not"
        assert played.called("update_image_version") == []


def test_a_full_run_that_fails_everywhere_keeps_its_history_short() -> None:
    steps: list[RetentionStep] = [
        *(ChangeVersion(f"2.0.{n}", version_id(f"2.0.{n}"), "old", exclude=True) for n in range(10)),
        *(DeleteVersion(f"1.0.{n}", version_id(f"1.0.{n}"), "old") for n in range(20)),
    ]
    played = play(a_plan(*steps), update=lambda _: THROTTLED, delete=lambda _: THROTTLED)

    assert len(played.output["results"]) == len(steps)
    assert played.longest_history < 1000


def told(played: Played, activity: str = "send_notifications") -> list[Batch]:
    return [unpack_batch(packed) for packed in played.called(activity)]


def test_whoever_is_notified_is_told_once_what_was_retired() -> None:
    played = play(a_plan(OLD, OLDEST), notified=(TOPIC, WEBHOOK))

    batches = told(played)
    assert [(batch.sink, batch.rollout, batch.image) for batch in batches] == [
        (sink, "retire-desktops-office-abcdef", "office") for sink in (TOPIC, WEBHOOK)
    ]
    (event,) = batches[0].events
    assert (event.kind, event.by) == ("VersionsRetired", "ada")
    assert event.message == f"{played.output['message']}; 2.0.0 {OLD.told}; 1.0.0 deleted"
    assert played.names[-2:] == ["send_notifications"] * 2


def test_a_run_that_fails_is_told_as_such_and_one_that_changes_nothing_is_not() -> None:
    (failed,) = told(play(a_plan(OLD), update=lambda _: FORBIDDEN, notified=(WEBHOOK,)))
    (blind,) = told(play(FORBIDDEN, notified=(WEBHOOK,)))
    assert [event.kind for event in (*failed.events, *blind.events)] == ["RetirementFailed"] * 2

    for quiet in (play(a_plan(), notified=(WEBHOOK,)), play(a_plan(OLD), apply=False, notified=(WEBHOOK,))):
        assert told(quiet) == []


def test_a_receiver_that_is_away_is_left_to_others() -> None:
    busy = {"error": {"code": "Http503", "message": "busy"}}
    played = play(a_plan(OLD), notified=(WEBHOOK,), send=lambda _: busy)

    assert played.output["results"][0]["outcome"] == "done"
    (left,) = told(played, "hand_over_record")
    assert [event.kind for event in left.events] == ["VersionsRetired"]


def test_a_run_that_nobody_is_to_be_told_of_calls_nothing_more() -> None:
    assert "send_notifications" not in play(a_plan(OLD, OLDER)).names
