"""Gates: soak, a person's approval, health; and every answer that does not count."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.gates import (
    FUNCTION_KEY,
    Approval,
    AskedApproval,
    HealthLook,
    RingPhase,
    read_approval,
    refusal_of,
)
from rollout.model import Phase
from rollout.overall import overall_phase
from rollout.policy import ApprovalGate, HealthGate, hours, minutes
from rollout.ring_state import asked, phases_of, was_rejected
from tests.rollout.ring_world import TUESDAY, RingWorld, a_ring, a_rollout, approves, rejects

DAY = timedelta(days=1)
ANDREA = "andrea@contoso.com"


def gated(started_by: str = "", answers: Any = (), **gates: Any) -> RingWorld:
    """Two rings of a pool each; the first, done after an hour, has these gates."""
    rollout = a_rollout(a_ring("validation", "test", **gates), a_ring("people", "office"), started_by=started_by)
    return RingWorld(rollout, answers=list(answers))


# -------------------------------------------------------------------------------------------------------------- soak


def test_the_next_ring_starts_when_the_version_has_soaked() -> None:
    world = gated(soak=DAY).play()

    assert world.started["office"] - world.ended["test"] == DAY
    assert world.turns < 15


# ---------------------------------------------------------------------------------------------------------- approval


def test_the_next_ring_waits_for_a_person() -> None:
    world = gated(approval=ApprovalGate(), answers=[(TUESDAY + 2 * DAY, approves("validation"))]).play()

    assert world.started["office"] == TUESDAY + 2 * DAY
    assert f"{ANDREA} approves ring validation: it works" in world.told
    assert f"ring validation has passed: approved by {ANDREA}: it works" in world.told


def test_a_rejection_ends_the_rollout_there_and_says_why() -> None:
    world = gated(approval=ApprovalGate(), answers=[(TUESDAY + 2 * DAY, rejects("validation"))]).play()

    assert set(world.started) == {"test"}
    assert world.status_of("office").message.endswith(f"rejected by {ANDREA}: printing is broken")
    assert was_rejected(world.progress)
    phases = phases_of(world.progress, world.rollout).values()
    assert overall_phase(phases, rejected=was_rejected(world.progress)) is Phase.HALTED


def test_a_rejection_does_not_wait_for_the_soak() -> None:
    world = gated(soak=5 * DAY, approval=ApprovalGate(), answers=[(TUESDAY + DAY, rejects("validation"))]).play()

    assert world.now == TUESDAY + DAY


def test_an_approval_during_the_soak_counts_when_the_soak_is_over() -> None:
    world = gated(soak=5 * DAY, approval=ApprovalGate(), answers=[(TUESDAY + DAY, approves("validation"))]).play()

    assert world.started["office"] - world.ended["test"] == 5 * DAY


def test_nobody_is_asked_before_the_ring_is_done() -> None:
    world = gated(approval=ApprovalGate()).play(until=minutes(30))
    assert asked(world.progress, world.rollout, world.now) is None

    world.play(until=hours(2))
    question = asked(world.progress, world.rollout, world.now)
    assert question == AskedApproval("validation", TUESDAY + hours(1), ("Approver",))
    assert "Approver to approve by Fri 13 Nov 21:00 UTC" in world.progress.message


@pytest.mark.parametrize(
    ("on_timeout", "phase", "starts", "says"),
    [
        ("reject", "Failed", False, "rejected, as nobody has approved by Fri 13 Nov 21:00 UTC"),
        ("approve", "Passed", True, "nobody has objected in time"),
    ],
)
def test_when_nobody_answers_in_time_the_policy_decides(on_timeout: Any, phase: str, starts: bool, says: str) -> None:
    world = gated(approval=ApprovalGate(deadline=3 * DAY, on_timeout=on_timeout)).play()

    assert world.phase_of("validation") == phase
    assert ("office" in world.started) is starts
    assert any(says in told for told in world.told)
    assert world.progress.rings["validation"].gate is not None


def test_waiting_on_looks_at_nothing_and_takes_an_answer_after_weeks() -> None:
    world = gated(approval=ApprovalGate(deadline=DAY), answers=[(TUESDAY + 28 * DAY, approves("validation"))]).play()

    assert world.started["office"] == TUESDAY + 28 * DAY
    assert world.turns < 15
    assert any("overdue since Wed 11 Nov 21:00 UTC" in told for told in world.told)


# ----------------------------------------------------------------------------------------- answers that do not count


def refusal(answer: Approval, at: timedelta, started_by: str = "", **approval: Any) -> list[str]:
    """What the story says of an answer that does not count; the ring must wait on as if there had been none."""
    gate = ApprovalGate(**{"deadline": 3 * DAY, **approval})
    world = gated(started_by, [(TUESDAY + at, answer)], approval=gate).play(until=at + minutes(1))
    assert "office" not in world.started
    gate_state = world.progress.rings["validation"].gate
    assert gate_state is None or gate_state.answer is None
    return [told for told in world.told if "does not count" in told]


def test_an_answer_before_the_gate_is_open_does_not_count() -> None:
    (told,) = refusal(approves("validation"), minutes(10))
    assert told.endswith("nobody is asked about ring validation: its host pools are not done yet")


def test_an_answer_from_the_wrong_role_does_not_count() -> None:
    (told,) = refusal(approves("validation", "raj@contoso.com", roles=("Operator", "Reader")), DAY)
    assert told == "an answer of raj@contoso.com does not count: raj@contoso.com is no Approver"


def test_a_caller_without_any_role_does_not_count() -> None:
    assert refusal(approves("validation", roles=()), DAY)


def test_a_function_key_counts_only_where_the_policy_says_so() -> None:
    key = approves("validation", "somebody with a function key", roles=(FUNCTION_KEY,))
    assert refusal(key, DAY)

    world = gated(approval=ApprovalGate(roles=("Approver", FUNCTION_KEY)), answers=[(TUESDAY + DAY, key)]).play()
    assert "office" in world.started


def test_roles_are_compared_in_any_case() -> None:
    answers = [(TUESDAY + DAY, approves("validation", roles=("APPROVER",)))]
    assert "office" in gated(approval=ApprovalGate(), answers=answers).play().started


def test_an_answer_about_another_ring_does_not_count() -> None:
    (told,) = refusal(approves("people"), DAY)
    assert told.endswith("nobody is asked about ring people: its turn has not come")


def test_an_answer_about_a_ring_that_does_not_exist_does_not_count() -> None:
    (told,) = refusal(approves("pilots"), DAY)
    assert told.endswith("the rollout has no ring 'pilots'; it has validation, people")


def test_who_has_started_the_rollout_cannot_approve_it_when_the_policy_says_so() -> None:
    (told,) = refusal(approves("validation", "Andrea@Contoso.com"), DAY, ANDREA, other_than_starter=True)
    assert "somebody else must answer" in told


def test_who_has_started_the_rollout_can_approve_it_otherwise() -> None:
    answers = [(TUESDAY + DAY, approves("validation"))]
    assert "office" in gated(ANDREA, answers, approval=ApprovalGate()).play().started


def test_somebody_else_can_approve_what_a_person_has_started() -> None:
    answers = [(TUESDAY + DAY, approves("validation"))]
    gate = ApprovalGate(other_than_starter=True)
    assert "office" in gated("raj@contoso.com", answers, approval=gate).play().started


def test_an_answer_after_the_deadline_comes_too_late() -> None:
    answers = [(TUESDAY + 5 * DAY, approves("validation"))]
    world = gated(approval=ApprovalGate(deadline=DAY, on_timeout="reject"), answers=answers).play()

    # The rollout has ended by then: nobody is there to take the answer.
    assert world.now == TUESDAY + hours(1) + DAY
    assert "office" not in world.started


def test_an_answer_in_the_very_moment_of_the_deadline_is_too_late() -> None:
    question = AskedApproval("validation", TUESDAY, ("Approver",), until=TUESDAY + DAY)
    rings = {"validation": RingPhase.PROVING}
    late = refusal_of(approves("validation"), question, rings, TUESDAY + DAY)

    assert late is not None
    assert late.code == "TooLate"
    assert refusal_of(approves("validation"), question, rings, TUESDAY + DAY - timedelta(seconds=1)) is None


def test_a_second_answer_changes_nothing_and_is_told() -> None:
    first, second = approves("validation"), rejects("validation", "raj@contoso.com")
    answers = [(TUESDAY + DAY, first), (TUESDAY + DAY, second)]
    world = gated(soak=3 * DAY, approval=ApprovalGate(), answers=answers).play()

    assert "office" in world.started
    (told,) = [told for told in world.told if "does not count" in told]
    assert told.endswith("nobody is asked about ring validation: it has been answered, or needs no approval")


def test_the_same_approval_twice_starts_one_ring_once() -> None:
    twice = [(TUESDAY + DAY, approves("validation")), (TUESDAY + DAY + minutes(1), approves("validation"))]
    world = gated(approval=ApprovalGate(), answers=twice).play()

    assert world.started["office"] == TUESDAY + DAY
    assert any("it has passed already" in told for told in world.told)


# ------------------------------------------------------------------------------------------------ what arrives as text


ANSWER = {"ring": "validation", "decision": "approve", "by": ANDREA, "roles": ["Approver"], "reason": "it works"}


@pytest.mark.parametrize("wrap", [lambda answer: answer, json.dumps], ids=["object", "text"])
def test_an_answer_is_read_as_an_object_and_as_text(wrap: Callable[[Any], Any]) -> None:
    assert read_approval(wrap(ANSWER)) == approves("validation")


@pytest.mark.parametrize(
    "raw",
    [
        None,
        "",
        "{",
        "null",
        "[]",
        7,
        {"ring": "validation"},
        {**ANSWER, "decision": "maybe"},
        {**ANSWER, "by": ""},
        {**ANSWER, "roles": "Approver"},
        {**ANSWER, "at": "2026-11-10T20:00:00"},
        "[" * 100_000,
    ],
)
def test_what_is_no_answer_is_none(raw: Any) -> None:
    assert read_approval(raw) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_event_whatever_it_bears_breaks_a_rollout(raw: Any) -> None:
    assert read_approval(raw) is None
    read_approval(json.dumps(raw))


def test_long_texts_are_cut_because_they_stay_in_the_history() -> None:
    answer = read_approval({**ANSWER, "reason": "x" * 9000, "by": "y" * 9000, "roles": ["z"] * 900})

    assert answer is not None
    assert (len(answer.reason), len(answer.by), len(answer.roles)) == (300, 100, 50)


# ------------------------------------------------------------------------------------------------------------ health


def sick_until(moment: datetime) -> Callable[[str, datetime], HealthLook]:
    return lambda pool, at: HealthLook(at, 4, {} if at >= moment else {"avd-001": "its agent sends no heartbeat"})


def test_a_ring_of_healthy_hosts_passes_at_once() -> None:
    world = gated(health=HealthGate()).play()
    assert world.started["office"] == world.ended["test"]


def test_unhealthy_hosts_have_some_time_to_get_better() -> None:
    world = gated(health=HealthGate(within=hours(2)))
    world.health = sick_until(TUESDAY + hours(2))
    world.play()

    assert hours(2) <= world.started["office"] - TUESDAY < hours(2.5)
    assert any("1 of 4 hosts on the new version are unhealthy (test/avd-001" in told for told in world.told)


def test_hosts_that_stay_unhealthy_fail_the_ring() -> None:
    world = gated(health=HealthGate(within=hours(2)))
    world.health = sick_until(TUESDAY + DAY)
    world.play()

    assert world.progress.rings["validation"].reason == "Unhealthy"
    assert hours(3) <= world.now - TUESDAY < hours(3.5)


def test_some_unhealthy_hosts_are_tolerated_where_the_policy_says_so() -> None:
    world = gated(health=HealthGate(max_unhealthy_percent=25))
    world.health = sick_until(TUESDAY + DAY)
    assert "office" in world.play().started


@pytest.mark.parametrize(
    "look",
    [lambda pool, at: HealthLook(at, 0), lambda pool, at: HealthLook(at, unreadable="the pool cannot be read")],
    ids=["all switched off", "unreadable"],
)
def test_hosts_that_nobody_could_judge_are_not_taken_for_healthy(look: Callable[[str, datetime], HealthLook]) -> None:
    world = gated(health=HealthGate(max_unhealthy_percent=100))
    world.health = look
    world.play()

    assert world.progress.rings["validation"].reason == "HealthUnknown"


def test_health_is_judged_last_and_anew() -> None:
    seen: list[datetime] = []
    world = gated(
        soak=DAY, approval=ApprovalGate(), health=HealthGate(), answers=[(TUESDAY + 2 * DAY, approves("validation"))]
    )

    def look(pool: str, at: datetime) -> HealthLook:
        seen.append(at)
        return HealthLook(at, 4)

    world.health = look
    world.play()

    assert seen == [TUESDAY + 2 * DAY]


def test_every_pool_that_got_the_version_is_judged_and_no_other() -> None:
    seen: list[str] = []
    rollout = a_rollout(a_ring("all", "one", "two", "personal", health=HealthGate()))
    world = RingWorld(rollout, ends={"personal": Phase.REFUSED})

    def look(pool: str, at: datetime) -> HealthLook:
        seen.append(pool)
        return HealthLook(at, 2, {"h": "sick"} if pool == "two" else {})

    world.health = look
    world.play()

    assert set(seen) == {"one", "two"}
    assert "1 of 4 hosts" in world.progress.rings["all"].why
