"""What travels to an activity, and what its answer means."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest
from msgspec import structs

from rollout.model import HostProgress, HostShape, Stage
from rollout.orders import _URGENCY, AT_ONCE, Answer, Order, activity_of, order, outcomes, within
from rollout.policy import minutes
from rollout.steps import (
    Decision,
    NotifySessions,
    ProvisionHost,
    RemoveHost,
    SignOutSessions,
    StartDraining,
    Step,
    StepError,
    StepOutcome,
    StopDraining,
)
from tests.rollout.builders import MORNING, POOL_ID, ROLLOUT, a_policy, a_state, registration_of, version_id, vm_id

BUSY = StepError("Conflict", "busy")
PROVISION = ProvisionHost("avd-001", version_id("2.0.0"), HostShape(), "1", "a test")
REMOVE = RemoveHost("avd-001", vm_id("avd-001"), registration_of("avd-001"), "a test")
NOTIFY = NotifySessions("avd-001", registration_of("avd-001"), ("1", "2", "3"), "t", "b", "a test")
SIGN_OUT = SignOutSessions("avd-001", registration_of("avd-001"), ("1", "2", "3"), 2, "a test")


def answered(step: Step, answer: Any) -> tuple[StepOutcome, ...]:
    return outcomes(step, msgspec.to_builtins(answer))


def test_an_order_survives_its_journey_as_json() -> None:
    policy = a_policy(scaling_exclusion_tag="exclude")
    sent = order(PROVISION, a_state(), policy, MORNING)

    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(sent)), Order) == sent
    assert (sent.rollout_id, sent.pool_id, sent.exclusion_tag) == (ROLLOUT, POOL_ID, "exclude")
    assert sent.new_host == policy.session_host


def test_only_steps_that_make_a_host_carry_the_template() -> None:
    sent = order(REMOVE, a_state(), a_policy(), MORNING)

    assert len(msgspec.json.encode(sent)) < 1000
    with pytest.raises(ValueError, match="RemoveHost"):
        _ = sent.new_host


def test_activities_are_named_like_their_steps() -> None:
    assert activity_of(PROVISION) == "provision_host"
    assert activity_of(SIGN_OUT) == "sign_out_sessions"
    assert len({kind.__name__ for kind in typing.get_args(Step)}) == 12


@pytest.mark.parametrize("answer", [{"ok": True}, {}])
def test_no_error_is_success(answer: Any) -> None:
    assert outcomes(REMOVE, answer) == (StepOutcome(REMOVE),)


def test_an_error_is_a_failure_of_the_whole_step() -> None:
    assert answered(REMOVE, Answer(BUSY)) == (StepOutcome(REMOVE, BUSY),)
    assert answered(NOTIFY, Answer(BUSY)) == (StepOutcome(NOTIFY, BUSY),)


def test_sessions_that_were_reached_count_as_done() -> None:
    done, failed = answered(NOTIFY, Answer(BUSY, left=("2",)))

    assert (done.step.sessions, done.error) == (("1", "3"), None)  # type: ignore[union-attr]
    assert (failed.step.sessions, failed.error) == (("2",), BUSY)  # type: ignore[union-attr]


def test_when_nobody_was_reached_nothing_counts_as_done() -> None:
    (failed,) = answered(NOTIFY, Answer(BUSY, left=("1", "2", "3")))

    assert failed == StepOutcome(NOTIFY, BUSY)


def test_forced_sign_outs_are_counted_with_the_part_they_belong_to() -> None:
    # The last two of the three were active when it was decided.
    done, failed = answered(SIGN_OUT, Answer(BUSY, left=("1", "3")))

    assert (done.step.sessions, done.step.forced) == (("2",), 1)  # type: ignore[union-attr]
    assert (failed.step.sessions, failed.step.forced) == (("1", "3"), 1)  # type: ignore[union-attr]


@pytest.mark.parametrize("answer", [None, 3, "text", [], {"error": "text"}, {"error": {"code": 1}}])
def test_an_answer_that_cannot_be_read_is_a_failure_that_may_pass(answer: Any) -> None:
    (outcome,) = outcomes(REMOVE, answer)

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.retriable) == ("UnreadableAnswer", True)


# ------------------------------------------------------------------------------------------- more steps than one turn's


def many(kind: Any, count: int, **fields: Any) -> list[Step]:
    names = [f"avd-{kind.__name__.lower()}-{index}" for index in range(count)]
    return [kind(host=name, vm_id=vm_id(name), reason="a test", **fields) for name in names]


def decided(steps: list[Step], stage: Stage, **fields: Any) -> Decision:
    in_hand = {step.host: HostProgress(stage=stage, since=MORNING) for step in steps}
    state = a_state(in_hand=in_hand)
    return Decision(state, tuple(steps), wake_at=MORNING + minutes(5), **fields)


def test_a_decision_that_a_turn_can_carry_out_is_left_as_it_is() -> None:
    decision = decided([PROVISION, REMOVE], Stage.DRAINING)

    assert within(decision, 2, MORNING) is decision


def test_what_people_gain_from_comes_before_what_takes_hosts_from_them() -> None:
    steps = [
        *many(StartDraining, 3, registration="r"),
        *many(RemoveHost, 3, registration="r"),
        *many(StopDraining, 3, registration="r"),
    ]

    first = within(decided(steps, Stage.DRAINING), 4, MORNING)

    assert [type(step) for step in first.steps] == [StopDraining, StopDraining, StopDraining, RemoveHost]
    assert first.wake_at == MORNING + AT_ONCE


def test_keeping_people_off_an_unproven_host_does_not_wait() -> None:
    keep_off = many(StartDraining, 1, registration="r")
    decision = decided([*many(RemoveHost, 3, registration="r"), *keep_off], Stage.VERIFYING)

    assert within(decision, 1, MORNING).steps == tuple(keep_off)


def test_a_last_decision_stays_the_last_one() -> None:
    steps = many(StopDraining, 3, registration="r")
    last = structs.replace(decided(steps, Stage.GIVING_BACK), wake_at=None, done=True)

    assert within(last, 2, MORNING).wake_at is None


def test_every_kind_of_step_has_its_urgency() -> None:
    assert set(_URGENCY) == set(typing.get_args(Step))
