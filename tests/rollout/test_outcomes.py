"""What is remembered of steps that succeeded or failed: attempts, pauses, counters, and who is let go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from rollout.model import HostProgress, RolloutState, SessionProgress, Stage
from rollout.outcomes import MAX_ATTEMPTS, SETTLING, record, retry_pause
from rollout.policy import hours, minutes
from rollout.steps import (
    DEFERRED,
    InstallAgent,
    JoinHost,
    NotifySessions,
    ProvisionHost,
    QuarantineHost,
    ReleaseHost,
    RemoveHost,
    SignOutSessions,
    StartDraining,
    Step,
    StepError,
    StepOutcome,
    StopDraining,
)
from tests.rollout.builders import MORNING, SHAPE, a_state, registration_of, version_id, vm_id

HOST = "avd-013"
BUSY = StepError("503", "the service is busy")
VM: dict[str, Any] = {"host": HOST, "vm_id": vm_id(HOST), "reason": "because"}
BOTH: dict[str, Any] = {**VM, "registration": registration_of(HOST)}
PROVISION = ProvisionHost(HOST, version_id("2.0.0"), SHAPE, "1", "because")
JOIN = JoinHost(**VM, location="westeurope")
INSTALL = InstallAgent(**VM, location="westeurope")
DRAIN, STOP, REMOVE = StartDraining(**BOTH), StopDraining(**BOTH), RemoveHost(**BOTH)
RELEASE, SWITCH_OFF = ReleaseHost(**VM, deallocate=False), ReleaseHost(**VM, deallocate=True)
QUARANTINE = QuarantineHost(**BOTH, code="NotReadyInTime")
NOTIFY = NotifySessions(HOST, registration_of(HOST), ("s1", "s2"), "title", "body", "because")
SIGN_OUT = SignOutSessions(HOST, registration_of(HOST), ("s1", "s2", "s3"), 1, "because")
EVERY_STEP = [PROVISION, JOIN, INSTALL, DRAIN, STOP, REMOVE, RELEASE, SWITCH_OFF, QUARANTINE, NOTIFY, SIGN_OUT]


def holding(stage: Stage, **fields: Any) -> RolloutState:
    """A rollout with one host in hand."""
    return a_state(desired=12, settled=12, in_hand={HOST: HostProgress(stage=stage, since=MORNING, **fields)})


def after(state: RolloutState, step: Step, error: StepError | None = None) -> RolloutState:
    return record(state, [StepOutcome(step, error)], MORNING)


# --------------------------------------------------------------------------------------------------------------- pauses


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30), (2, 60), (3, 120), (5, 480), (6, 600), (60, 600)])
def test_pauses_double_from_half_a_minute_to_ten(attempts: int, seconds: int) -> None:
    assert retry_pause(attempts, BUSY) == timedelta(seconds=seconds)


def test_what_azure_asks_for_is_the_least() -> None:
    assert retry_pause(1, StepError("429", "", retry_after=45.5)) == timedelta(seconds=45.5)
    assert retry_pause(6, StepError("429", "", retry_after=45.5)) == minutes(10)


def test_a_step_that_fails_again_and_again_is_given_up_after_about_an_hour() -> None:
    total = sum((retry_pause(attempt, BUSY) for attempt in range(1, MAX_ATTEMPTS)), timedelta())

    assert minutes(40) < total < hours(1.5)


@pytest.mark.parametrize("step", [step for step in EVERY_STEP if step not in (NOTIFY, QUARANTINE)])
def test_a_failed_step_is_tried_again_after_a_pause_and_its_error_is_kept(step: Step) -> None:
    state = after(after(holding(Stage.DRAINING), step, BUSY), step, BUSY)
    progress = state.in_hand[HOST]

    assert (progress.attempts, progress.retry_at) == (2, MORNING + minutes(1))
    assert progress.reason == "503: the service is busy"


def test_an_error_is_kept_in_a_few_words_only() -> None:
    progress = after(holding(Stage.PROVISIONING), PROVISION, StepError("500", "x" * 9000)).in_hand[HOST]

    assert len(progress.reason) == 300


# ------------------------------------------------------------------------------------------------------------- success


@pytest.mark.parametrize("step", [PROVISION, DRAIN, REMOVE, SWITCH_OFF])
def test_a_step_that_succeeded_has_time_to_show_before_it_is_taken_again(step: Step) -> None:
    progress = after(holding(Stage.DRAINING, attempts=3), step).in_hand[HOST]

    assert (progress.attempts, progress.retry_at) == (0, MORNING + SETTLING)


@pytest.mark.parametrize("step", [JOIN, INSTALL])
def test_how_often_an_extension_was_started_is_counted(step: Step) -> None:
    assert after(after(holding(Stage.JOINING), step), step).in_hand[HOST].attempts == 2


@pytest.mark.parametrize("stage", [Stage.VERIFYING, Stage.GIVING_BACK])
def test_a_host_whose_drain_mode_has_been_turned_off_is_in_service(stage: Stage) -> None:
    state = after(holding(stage), STOP)

    assert not state.in_hand
    assert state.settled == 13, "so that it does not look as if somebody else had added it"
    assert state.due == ()


def test_a_new_host_that_is_left_drained_lets_the_host_that_it_follows_go() -> None:
    state = after(holding(Stage.VERIFYING, stays_drained=True, replaces="avd-001"), RELEASE)

    assert not state.in_hand
    assert state.due == ("avd-001",)


def test_a_new_host_that_is_switched_off_lets_the_host_that_it_follows_go_once_it_is_in_service() -> None:
    off = after(holding(Stage.VERIFYING, stays_off=True, replaces="avd-001"), SWITCH_OFF)
    assert list(off.in_hand) == [HOST]

    assert after(off, STOP).due == ("avd-001",)


def test_a_failed_attempt_to_switch_a_proven_host_off_does_not_unprove_it() -> None:
    assert (
        after(holding(Stage.VERIFYING, reason="SwitchingOff"), SWITCH_OFF, BUSY).in_hand[HOST].reason == "SwitchingOff"
    )


def test_a_turn_that_only_tells_its_sinks_does_not_end_the_count_of_unreadable_turns() -> None:
    """Only a look that could read the pool does: or else it would be tried again every half minute."""
    assert record(a_state(unreadable=4), (), MORNING).unreadable == 4


@pytest.mark.parametrize("error", [None, BUSY, StepError("HostInUse", ""), StepError("AllocationFailed", "")])
@pytest.mark.parametrize("step", EVERY_STEP)
def test_outcomes_for_hosts_that_are_no_longer_in_hand_change_nothing_but_counters(
    step: Step, error: StepError | None
) -> None:
    state = after(a_state(), step, error)

    assert structs.replace(state, forced_sign_outs=0, disconnected_sign_outs=0, unmarked={}) == a_state()


def test_failed_attempts_to_mark_a_quarantined_host_are_counted_until_one_succeeds() -> None:
    failed = after(after(a_state(), QUARANTINE, BUSY), QUARANTINE, BUSY)

    assert failed.unmarked == {HOST: 2}
    assert after(failed, QUARANTINE).unmarked == {}


# ---------------------------------------------------------------------------------------------------- people


def known(**notices: int) -> dict[str, SessionProgress]:
    return {id: SessionProgress(deadline=MORNING + hours(1), notices=count) for id, count in notices.items()}


def test_forced_and_other_sign_outs_are_counted_apart() -> None:
    state = after(holding(Stage.DRAINING, sessions=known(s1=0, s2=0, s3=2)), SIGN_OUT)

    assert (state.forced_sign_outs, state.disconnected_sign_outs) == (1, 2)


def test_a_session_that_hangs_is_counted_once_however_often_it_is_signed_out() -> None:
    state = holding(Stage.DRAINING, sessions=known(s1=0, s2=0, s3=2))
    state = after(after(state, SIGN_OUT), SIGN_OUT)

    assert (state.forced_sign_outs, state.disconnected_sign_outs) == (1, 2)
    assert state.in_hand[HOST].sessions["s3"].sign_outs == 2


def test_a_sign_out_that_failed_is_not_counted() -> None:
    assert after(holding(Stage.DRAINING, sessions=known(s3=1)), SIGN_OUT, BUSY).forced_sign_outs == 0


def test_who_did_not_get_the_first_message_is_forgotten_and_so_gets_a_new_deadline_with_the_next() -> None:
    progress = after(holding(Stage.DRAINING, sessions=known(s1=1, s2=1, s3=1)), NOTIFY, BUSY).in_hand[HOST]

    assert list(progress.sessions) == ["s3"]
    assert progress.attempts == 1


def test_who_did_not_get_a_reminder_keeps_the_deadline_and_gets_the_reminder_again() -> None:
    before = known(s1=2, s2=3)
    sessions = after(holding(Stage.DRAINING, sessions=before), NOTIFY, BUSY).in_hand[HOST].sessions

    assert {id: one.notices for id, one in sessions.items()} == {"s1": 1, "s2": 2}
    assert sessions["s1"].deadline == before["s1"].deadline


def test_a_message_that_arrived_ends_the_count_of_attempts() -> None:
    assert after(holding(Stage.DRAINING, attempts=4, sessions=known(s1=1)), NOTIFY).in_hand[HOST].attempts == 0


def test_a_failed_message_that_people_may_stay_holds_nothing_up() -> None:
    state = holding(Stage.GIVING_BACK)

    assert after(state, NOTIFY, BUSY) == state


# ------------------------------------------------------------------------------------------------- removal and capacity


def test_a_host_in_use_goes_back_to_draining_with_what_its_people_were_told() -> None:
    state = holding(Stage.REMOVING, attempts=2, sessions=known(s1=1))
    progress = after(state, REMOVE, StepError("HostInUse", "1 session")).in_hand[HOST]

    assert (progress.stage, progress.attempts, progress.retry_at) == (Stage.DRAINING, 0, None)
    assert list(progress.sessions) == ["s1"]


def test_a_vm_for_which_there_is_no_room_is_owed_with_all_that_it_was_to_take_over() -> None:
    state = holding(Stage.PROVISIONING, replaces="avd-001", shape=0, zone="2", stays_off=True, stays_drained=True)
    state = after(structs.replace(state, canary=(HOST,)), PROVISION, StepError("QuotaExceeded", "no cores"))

    assert not state.in_hand
    assert state.canary == ()
    (vacancy,) = state.owed
    assert (vacancy.replaces, vacancy.zone, vacancy.stays_off, vacancy.stays_drained) == ("avd-001", "2", True, True)
    assert state.blocked is not None
    assert (state.blocked.code, state.blocked.message) == ("QuotaExceeded", "no cores")


@pytest.mark.parametrize("code", ["InvalidParameter", "GalleryImageNotFound", "429"])
def test_other_refusals_of_a_vm_do_not_block_the_pool(code: str) -> None:
    state = after(holding(Stage.PROVISIONING), PROVISION, StepError(code, "no"))

    assert state.blocked is None
    assert list(state.in_hand) == [HOST]


# ------------------------------------------------------------------------------------------------------------- put off


@pytest.mark.parametrize("step", [PROVISION, JOIN, INSTALL, DRAIN, STOP, REMOVE, RELEASE, SWITCH_OFF, SIGN_OUT])
def test_a_step_that_was_put_off_is_due_at_once_and_no_failed_attempt(step: Step) -> None:
    state = holding(Stage.REMOVING, attempts=3, reason="Conflict: busy")

    assert after(state, step, StepError(DEFERRED, "later")).in_hand[HOST].attempts == 3
    assert after(state, step, StepError(DEFERRED, "later")) == state


def test_a_step_that_waits_for_azure_to_take_calls_again_is_due_then() -> None:
    progress = after(holding(Stage.REMOVING), REMOVE, StepError(DEFERRED, "later", retry_after=7)).in_hand[HOST]

    assert (progress.attempts, progress.retry_at) == (0, MORNING + timedelta(seconds=7))


def test_people_whose_message_was_put_off_have_not_been_told() -> None:
    told = {"s1": SessionProgress(deadline=MORNING, notices=1), "s2": SessionProgress(deadline=MORNING, notices=2)}
    state = holding(Stage.DRAINING, sessions=told)

    progress = after(state, NOTIFY, StepError(DEFERRED, "later")).in_hand[HOST]

    assert {id: session.notices for id, session in progress.sessions.items()} == {"s2": 1}


def test_marking_a_failed_host_that_was_put_off_counts_as_no_attempt() -> None:
    state = a_state(quarantined={HOST: "NotReadyInTime"})

    assert after(state, QUARANTINE, StepError(DEFERRED, "later")) == state
