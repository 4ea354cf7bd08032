"""When a rollout looks again, and what it must read then: every look is a handful of calls to Azure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from rollout.model import HostProgress, SessionHost, SessionProgress, Stage
from rollout.policy import hours, minutes
from rollout.pool import deals_with_sessions, decide, look_again_at, record
from rollout.steps import DEFERRED, RemoveHost, StartDraining, StepError, StepOutcome
from rollout.turn import Turn
from tests.rollout.builders import (
    MORNING,
    NEXT,
    a_drain,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    hosts_named,
    registration_of,
    steered_hosts,
    vm_id,
)

BOTH: dict[str, Any] = {"vm_id": vm_id("avd-001"), "registration": registration_of("avd-001"), "reason": "because"}


def next_look(hosts: list[SessionHost], in_hand: dict[str, HostProgress], **state: Any) -> timedelta:
    """How long after a turn the next one comes."""
    pool = a_pool(hosts)
    decision = decide(a_rolling_state(pool, in_hand, **state), pool, a_policy(finish_within=hours(90)), MORNING)
    assert decision.wake_at is not None
    return decision.wake_at - MORNING


def a_removal() -> dict[str, HostProgress]:
    return {"avd-001": HostProgress(stage=Stage.REMOVING, since=MORNING, retry_at=MORNING + minutes(2))}


def told(**fields: Any) -> HostProgress:
    """A draining host with one person who was asked to leave at nine, by noon."""
    person = SessionProgress(deadline=MORNING + hours(4), notices=1)
    return a_drain(asked=True, sessions={"7": person}, **fields)


MANY_NEW = {f"avd-9{n:02}": HostProgress(stage=Stage.PROVISIONING, since=MORNING) for n in range(20)}

# ------------------------------------------------------------------------------------------------------- how soon


def test_while_people_have_to_leave_first_a_removal_is_looked_at_some_minutes_later() -> None:
    people = steered_hosts(3, first=2, sessions=2)
    current = hosts_named(3, first=5, version=NEXT)

    assert next_look([a_draining_host("avd-001"), *people, *current], a_removal(), desired=6) == minutes(5)


def test_while_an_empty_host_waits_for_its_turn_a_removal_is_looked_at_soon() -> None:
    empty = steered_hosts(3, first=2)
    current = hosts_named(3, first=5, version=NEXT)

    assert next_look([a_draining_host("avd-001"), *empty, *current], a_removal(), desired=7) < minutes(3)


def test_the_last_host_is_looked_at_soon() -> None:
    current = hosts_named(3, first=2, version=NEXT)

    assert next_look([a_draining_host("avd-001"), *current], a_removal(), desired=4) < minutes(3)


def test_a_host_that_may_register_any_moment_is_looked_at_every_minute_whoever_else_has_time() -> None:
    """From the moment it registers it accepts sign-ins, and it is the emptiest of all."""
    agent = HostProgress(
        stage=Stage.JOINING, since=MORNING, reason="goldroll-agent", attempts=1, retry_at=MORNING + minutes(3)
    )
    new = a_host("avd-009", NEXT, registration="", status="")
    hosts = [*steered_hosts(3, sessions=2), *hosts_named(3, first=5, version=NEXT), new]

    assert next_look(hosts, {"avd-009": agent}, desired=6) == minutes(1)


@pytest.mark.parametrize(("number", "apart"), [(1, 60), (5, 60), (10, 24), (50, 24)])
def test_the_more_hosts_are_replaced_at_a_time_the_less_one_of_them_waits_for_another(number: int, apart: int) -> None:
    """What is due within the pause after the first is looked at together with it, what is due a second later is not."""

    def look(seconds: int) -> timedelta:
        deadline = MORNING + timedelta(seconds=90 + seconds)
        late = a_drain(told={"avd-900/1": deadline}, notices=4)
        hosts = [*(a_draining_host(name) for name in removals), a_draining_host("avd-900", sessions=1)]
        hosts += hosts_named(number + 2, first=100, version=NEXT)
        return next_look(hosts, removals | {"avd-900": late}, desired=number + 2)

    removals = {
        f"avd-{n:03}": HostProgress(stage=Stage.REMOVING, since=MORNING, retry_at=MORNING + minutes(9))
        for n in range(1, number + 1)
    }

    assert look(apart) == timedelta(seconds=90 + apart)
    assert look(apart + 1) == timedelta(seconds=90)


@pytest.mark.parametrize(("desired", "apart"), [(100, 24), (550, 42), (1000, 60), (10_000, 120)])
def test_the_larger_the_pool_the_more_is_looked_at_together(desired: int, apart: int) -> None:
    """A look takes in every host of the pool, so that in a large one it costs more."""
    turn = Turn(a_rolling_state(a_pool(), MANY_NEW, desired=desired), a_pool(), a_policy(), MORNING)
    for seconds in (90, 90 + apart, 91 + apart):
        turn.wake(MORNING + timedelta(seconds=seconds))

    assert turn.decision().wake_at == MORNING + timedelta(seconds=90 + apart)


def test_while_more_people_are_asked_to_leave_than_hosts_are_replaced_a_removal_has_time() -> None:
    """The last hosts are emptied: what is removed now is not what the rollout waits for."""
    people = {f"avd-{n:03}": told() for n in range(2, 5)}
    hosts = [*(a_draining_host(name, sessions=1) for name in people), *hosts_named(3, first=5, version=NEXT)]

    assert next_look([a_draining_host("avd-001"), *hosts], a_removal() | people, desired=6) == minutes(5)


def test_a_host_that_is_empty_and_waits_for_a_new_one_makes_the_rollout_hurry() -> None:
    people = {f"avd-{n:03}": told() for n in range(2, 5)}
    hosts = [*(a_draining_host(name, sessions=1) for name in people), *hosts_named(3, first=6, version=NEXT)]
    new = {"avd-009": HostProgress(stage=Stage.PROVISIONING, since=MORNING, retry_at=MORNING + minutes(2))}
    empty = {"avd-001": told()}

    assert next_look([a_draining_host("avd-001"), *hosts], new | people | empty, desired=8) < minutes(3)


# ---------------------------------------------------------------------------------------- which sessions must be fresh


def fresh_at(progress: HostProgress, now: datetime) -> bool:
    pool = a_pool([a_draining_host("avd-001", sessions=1)])
    return deals_with_sessions(a_rolling_state(pool, {"avd-001": progress}), a_policy(), now)


def test_sessions_are_read_when_somebody_is_to_be_reminded_or_signed_out() -> None:
    assert not fresh_at(told(), MORNING + hours(2))
    assert fresh_at(told(), MORNING + hours(4) - minutes(15))
    assert fresh_at(told(), MORNING + hours(4))


def test_sessions_are_read_when_a_disconnected_one_is_to_be_ended_and_until_it_has_ended() -> None:
    gone = SessionProgress(deadline=MORNING + hours(4), notices=1, disconnected_since=MORNING)
    ended = SessionProgress(deadline=MORNING + hours(4), notices=1, disconnected_since=MORNING, sign_outs=1)

    assert not fresh_at(a_drain(asked=True, sessions={"7": gone}), MORNING + minutes(14))
    assert fresh_at(a_drain(asked=True, sessions={"7": gone}), MORNING + minutes(15))
    assert fresh_at(a_drain(asked=True, sessions={"7": ended}), MORNING + minutes(1))


def test_sessions_are_not_read_for_hosts_that_people_are_only_steered_away_from() -> None:
    steering = HostProgress(stage=Stage.STEERING, since=MORNING)

    assert not fresh_at(steering, MORNING + hours(9))


# ---------------------------------------------------------------------------------------------- after steps that fail


def looked_at_after(step: Any, error: StepError | None) -> datetime | None:
    pool = a_pool([a_draining_host("avd-001")])
    state = a_rolling_state(pool, {"avd-001": HostProgress(stage=Stage.STEERING, since=MORNING)})
    outcomes = [StepOutcome(step, error)]
    return look_again_at(record(state, outcomes, MORNING), outcomes, MORNING)


def test_a_step_that_failed_is_taken_again_when_it_is_due_however_late_the_next_look_would_be() -> None:
    step = StartDraining("avd-001", **BOTH)

    assert looked_at_after(step, StepError("503", "busy")) == MORNING + timedelta(seconds=30)
    assert looked_at_after(step, StepError("429", "too many", retry_after=90)) == MORNING + timedelta(seconds=90)
    assert looked_at_after(step, StepError(DEFERRED, "put off", retry_after=20)) == MORNING + timedelta(seconds=20)


def test_steps_that_succeeded_or_whose_host_is_in_nobodys_hands_call_for_no_other_look() -> None:
    assert looked_at_after(StartDraining("avd-001", **BOTH), None) is None
    assert looked_at_after(RemoveHost("avd-077", **BOTH), StepError("503", "busy")) is None
