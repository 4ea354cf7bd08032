"""The plan for emptying a host: notices, reminders, deadlines and sign-outs. See test_leaving.py for how it goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from rollout.drain import DrainPlan, deadline_text, minutes_left, plan_drain, stages_reached
from rollout.model import HostProgress, SessionHost
from rollout.policy import DrainPolicy, PoolPolicy, hours, minutes
from rollout.steps import (
    NotifySessions,
    SignOutSessions,
)
from tests.rollout.builders import (
    MORNING,
    a_drain,
    a_draining_host,
    a_policy,
)

REMINDERS = (minutes(60), minutes(15), minutes(5))


def plan(
    host: SessionHost,
    progress: HostProgress | None = None,
    *,
    now: datetime = MORNING,
    may_sign_out: bool = True,
    policy: PoolPolicy | None = None,
) -> DrainPlan:
    """The plan for a host at this moment."""
    return plan_drain(host, progress or a_drain(), policy or a_policy(), now, may_sign_out=may_sign_out)


def followed(plan_made: DrainPlan, before: HostProgress | None = None) -> HostProgress:
    """What is remembered when everything in the plan has been done."""
    return structs.replace(before or a_drain(), sessions=plan_made.sessions)


def notices(plan_made: DrainPlan) -> list[NotifySessions]:
    """The messages of a plan."""
    return [step for step in plan_made.steps if isinstance(step, NotifySessions)]


def sign_outs(plan_made: DrainPlan) -> list[SignOutSessions]:
    """The sign-outs of a plan."""
    return [step for step in plan_made.steps if isinstance(step, SignOutSessions)]


# ----------------------------------------------------------------------------------------------------------- notices


def test_people_are_told_at_once_with_the_deadline_in_the_pools_zone() -> None:
    (notice,) = notices(plan(a_draining_host(sessions=2)))

    assert notice.sessions == ("avd-001/1", "avd-001/2")
    assert "before 10:00" in notice.body, "08:00 UTC and an hour is 10:00 in Zurich"
    assert "60 minutes" in notice.body
    assert "{" not in notice.title + notice.body


def test_a_deadline_on_another_day_names_the_day() -> None:
    evening = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)

    assert deadline_text(evening, "Europe/Zurich", evening - minutes(30)) == "23:30"
    assert deadline_text(evening + hours(1), "Europe/Zurich", evening) == "Sat 21 Nov 00:30"
    assert deadline_text(evening + hours(1), "UTC", evening) == "23:30"


@pytest.mark.parametrize(("left", "said"), [(minutes(15), 15), (timedelta(seconds=61), 2), (-minutes(3), 0)])
def test_minutes_left_are_whole_rounded_up_and_never_negative(left: timedelta, said: int) -> None:
    assert minutes_left(MORNING + left, MORNING) == said


@pytest.mark.parametrize(
    ("left", "stages"),
    [(hours(2), 1), (minutes(61), 1), (minutes(60), 2), (minutes(15), 3), (minutes(5), 4), (minutes(1), 4)],
)
def test_one_stage_for_the_first_message_and_one_for_each_reminder_reached(left: timedelta, stages: int) -> None:
    assert stages_reached(MORNING + left, DrainPolicy(reminders=REMINDERS), MORNING) == stages


def test_each_reminder_goes_out_once_however_often_it_is_looked() -> None:
    host, policy = a_draining_host(sessions=1), a_policy(drain={"grace": hours(2), "reminders": REMINDERS})
    progress, told = a_drain(), []
    for minute in range(120):
        made = plan(host, progress, now=MORNING + minutes(minute), policy=policy)
        told += [minute for _ in notices(made)]
        progress = followed(made)

    assert told == [0, 60, 105, 115]


def test_a_turn_that_comes_late_sends_one_message_for_the_reminders_it_missed() -> None:
    host, policy = a_draining_host(sessions=1), a_policy(drain={"grace": hours(2), "reminders": REMINDERS})
    progress = followed(plan(host, policy=policy))
    late = plan(host, progress, now=MORNING + minutes(116), policy=policy)

    assert len(notices(late)) == 1
    assert "4 minutes" in notices(late)[0].body
    assert not notices(plan(host, followed(late), now=MORNING + minutes(117), policy=policy))


def test_a_grace_period_shorter_than_a_reminder_gives_one_first_message() -> None:
    policy = a_policy(drain={"grace": minutes(10), "reminders": REMINDERS})
    first = plan(a_draining_host(sessions=1), policy=policy)

    assert len(notices(first)) == 1
    assert not notices(plan(a_draining_host(sessions=1), followed(first), now=MORNING + minutes(4), policy=policy))
    assert notices(plan(a_draining_host(sessions=1), followed(first), now=MORNING + minutes(5), policy=policy))


def test_somebody_who_arrives_late_gets_the_whole_grace_period() -> None:
    progress = a_drain(told={"avd-001/1": MORNING + hours(1)})
    made = plan(a_draining_host(sessions=2), progress, now=MORNING + minutes(50))

    assert made.sessions["avd-001/2"].deadline == MORNING + minutes(110)
    assert {notice.sessions for notice in notices(made)} == {("avd-001/1",), ("avd-001/2",)}
    assert not sign_outs(plan(a_draining_host(sessions=2), followed(made), now=MORNING + minutes(59)))


def test_people_with_one_deadline_get_one_message_together() -> None:
    assert len(notices(plan(a_draining_host(sessions=10)))) == 1


def test_who_has_left_is_forgotten() -> None:
    progress = a_drain(told={"avd-001/1": MORNING, "avd-001/9": MORNING})

    assert list(plan(a_draining_host(sessions=1), progress).sessions) == ["avd-001/1"]


def test_braces_that_are_no_placeholder_stay_as_they_are() -> None:
    policy = a_policy()
    text = structs.replace(policy.drain.notice, title="{pool} {} {deadlin}", body="{minutes}")
    policy = structs.replace(policy, drain=structs.replace(policy.drain, notice=text))

    (notice,) = notices(plan(a_draining_host(sessions=1), policy=policy))
    assert (notice.title, notice.body) == ("office {} {deadlin}", "60")


# ------------------------------------------------------------------------------------------------------ disconnected


def test_disconnected_people_get_no_message_and_are_signed_out_after_their_own_grace() -> None:
    host = a_draining_host(disconnected=1)
    first = plan(host)
    assert not first.steps
    assert first.wake_at == MORNING + minutes(15)

    assert not plan(host, followed(first), now=MORNING + minutes(14)).steps
    (step,) = sign_outs(plan(host, followed(first), now=MORNING + minutes(15)))
    assert (step.sessions, step.forced) == (("avd-001/1",), 0)


def test_disconnected_people_are_signed_out_even_where_active_ones_must_not_be() -> None:
    progress = followed(plan(a_draining_host(disconnected=1)))
    later = plan(
        a_draining_host(disconnected=1),
        progress,
        now=MORNING + minutes(15),
        may_sign_out=False,
        policy=a_policy(drain={"on_timeout": "wait"}),
    )

    assert len(sign_outs(later)) == 1


def test_who_reconnects_in_time_is_told_and_keeps_what_is_left() -> None:
    progress = followed(plan(a_draining_host(disconnected=1)))
    back = plan(a_draining_host(sessions=1), progress, now=MORNING + minutes(10))

    assert len(notices(back)) == 1
    assert back.sessions["avd-001/1"].disconnected_since is None
    assert not sign_outs(plan(a_draining_host(sessions=1), followed(back), now=MORNING + minutes(20)))


def test_who_reconnects_unwarned_after_the_deadline_is_told_first_and_gets_the_whole_grace_period() -> None:
    progress = followed(plan(a_draining_host(disconnected=1)))
    back = plan(a_draining_host(sessions=1), progress, now=MORNING + hours(3))

    assert not sign_outs(back)
    assert len(notices(back)) == 1
    assert back.sessions["avd-001/1"].deadline == MORNING + hours(4)


def test_who_disconnects_again_gets_the_disconnected_grace_again() -> None:
    progress = followed(plan(a_draining_host(disconnected=1)))
    progress = followed(plan(a_draining_host(sessions=1), progress, now=MORNING + minutes(14)))
    progress = followed(plan(a_draining_host(disconnected=1), progress, now=MORNING + minutes(20)))

    assert not sign_outs(plan(a_draining_host(disconnected=1), progress, now=MORNING + minutes(34)))
    assert sign_outs(plan(a_draining_host(disconnected=1), progress, now=MORNING + minutes(35)))


def test_the_grace_of_a_disconnected_session_ends_with_its_deadline() -> None:
    progress = a_drain(told={"avd-001/1": MORNING + minutes(5)})
    progress = followed(plan(a_draining_host(disconnected=1), progress))

    assert sign_outs(plan(a_draining_host(disconnected=1), progress, now=MORNING + minutes(5)))


def test_a_session_in_an_unknown_state_counts_as_somebody_at_work() -> None:
    host = a_draining_host(sessions=1)
    host = structs.replace(host, sessions=(structs.replace(host.sessions[0], state="Hibernated"),))

    assert len(notices(plan(host))) == 1


# ------------------------------------------------------------------------------------------------------- on timeout


def overdue(**drain: Any) -> tuple[SessionHost, HostProgress, PoolPolicy]:
    """A host with one person whose deadline has come, and the policy."""
    told = a_drain(told={"avd-001/1": MORNING}, notices=9)
    return a_draining_host(sessions=1), told, a_policy(drain=drain)


def test_at_the_deadline_people_are_signed_out_and_counted_as_forced() -> None:
    host, progress, policy = overdue()
    made = plan(host, progress, policy=policy)
    (step,) = sign_outs(made)

    assert (step.sessions, step.forced, made.overdue) == (("avd-001/1",), 1, ())


def test_nobody_is_signed_out_a_second_before_the_deadline() -> None:
    host, progress, policy = overdue()

    assert not sign_outs(plan(host, progress, now=MORNING - timedelta(seconds=1), policy=policy))


@pytest.mark.parametrize("on_timeout", ["wait", "skip"])
def test_where_the_policy_says_so_nobody_is_signed_out_and_the_overdue_are_named(on_timeout: str) -> None:
    host, progress, policy = overdue(on_timeout=on_timeout)
    made = plan(host, progress, policy=policy)

    assert not made.steps
    assert made.overdue == ("avd-001/1",)


def test_what_forbids_the_sign_out_for_now_leaves_people_overdue() -> None:
    host, progress, policy = overdue()

    assert plan(host, progress, policy=policy, may_sign_out=False).overdue == ("avd-001/1",)


def test_the_next_look_is_at_the_next_reminder_or_deadline() -> None:
    made = plan(a_draining_host(sessions=1))
    assert made.wake_at == MORNING + minutes(45)

    later = plan(a_draining_host(sessions=1), followed(made), now=MORNING + minutes(46))
    assert later.wake_at == MORNING + minutes(60)
