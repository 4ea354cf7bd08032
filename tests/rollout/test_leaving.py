"""Leaving: how hosts are emptied and removed turn after turn, and what others have switched off or drained."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec import structs

from rollout.model import Phase, Stage
from rollout.policy import hours, minutes
from rollout.pool import decide, record
from rollout.steps import (
    NotifySessions,
    ProvisionHost,
    ReleaseHost,
    RemoveHost,
    SignOutSessions,
    StartDraining,
    StepError,
    StepOutcome,
    StopDraining,
)
from tests.rollout.builders import (
    MORNING,
    NEXT,
    a_drain,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    a_window,
    hosts_named,
)
from tests.rollout.world import World

STUBBORN = {"grace": hours(1), "reminders": (minutes(15),)}


def stubborn_world(hosts: int = 3, *, sessions: int = 2, **policy: Any) -> World:
    """A pool whose people ignore every message."""
    world = World(a_pool(hosts_named(hosts, sessions=sessions)), a_policy(**policy))
    world.leave_after = None
    return world


def test_people_who_ignore_every_message_are_signed_out_once_each_and_find_a_place() -> None:
    world = stubborn_world().run()

    assert world.state.phase is Phase.SUCCEEDED
    assert world.refused_sign_ins == 0
    assert sum(world.people().values()) == 6
    assert world.state.forced_sign_outs == sum(world.forced.values())


def test_nobody_is_signed_out_before_a_whole_grace_period_has_passed_since_the_first_message() -> None:
    world = stubborn_world()
    first: dict[str, datetime] = {}
    while not world.turn().done:
        for at, notice in world.messages:
            for session in notice.sessions:
                first.setdefault(session, at)
        for at, step in world.done_steps:
            if isinstance(step, SignOutSessions):
                assert all(at - first[session] >= hours(1) for session in step.sessions)


def test_on_timeout_wait_the_rollout_waits_for_as_long_as_people_stay() -> None:
    world = stubborn_world(drain={"on_timeout": "wait"}).run_for(hours(30))

    assert world.state.phase is Phase.ROLLING
    assert not world.forced
    assert "1 leaving (2 sessions)" in world.state.message

    world.deaf.clear()
    for name in world.draining():
        for session in world.hosts[name].sessions:
            world.sign_out(name, session.id)
    assert world.turn().phase is Phase.ROLLING
    assert world.steps(RemoveHost)


def test_on_timeout_skip_a_host_whose_people_stay_is_given_back_and_reported() -> None:
    world = stubborn_world(drain={"on_timeout": "skip"}).run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert set(world.state.skipped.values()) == {"GracePeriodEnded"}
    assert not world.forced
    assert world.nothing_is_left_over()


def test_the_people_of_a_skipped_host_are_told_that_they_may_stay() -> None:
    world = stubborn_world(drain={"on_timeout": "skip"}).run()
    withdrawn = [notice for _, notice in world.messages if notice.title == world.policy.drain.notice.withdrawn_title]

    assert {notice.host for notice in withdrawn} == set(world.state.skipped)
    assert all(len(notice.sessions) == 2 for notice in withdrawn)


def test_with_sign_out_in_window_only_people_are_signed_out_when_the_next_window_opens() -> None:
    world = stubborn_world(
        drain={**STUBBORN, "sign_out_in_window_only": True},
        windows=(a_window("08:00", hours(3)),),
        expected_provisioning=minutes(25),
    )
    world.leave_after = None
    world.run(lambda world: world.forced)
    (signed_out,) = {at for at, step in world.done_steps if isinstance(step, SignOutSessions)}

    assert 8 <= signed_out.hour < 11


def test_nobody_is_signed_out_while_there_is_no_room_elsewhere() -> None:
    hosts = [a_draining_host("avd-001", sessions=4), a_host("avd-002", NEXT, sessions=8)]
    told = {f"avd-001/{n}": MORNING for n in range(1, 5)}
    pool = a_pool(hosts)
    state = a_rolling_state(pool, {"avd-001": a_drain(told=told, notices=9)})
    crowded = decide(state, pool, a_policy(reserve=0), MORNING)
    assert not [step for step in crowded.steps if isinstance(step, SignOutSessions)]

    pool = a_pool([hosts[0], a_host("avd-002", NEXT, sessions=6)])
    roomy = decide(state, pool, a_policy(reserve=0), MORNING)
    assert len([step for step in roomy.steps if isinstance(step, SignOutSessions)]) == 1


def test_two_hosts_whose_people_would_not_fit_together_are_not_emptied_in_one_turn() -> None:
    hosts = [a_draining_host("avd-001", sessions=4), a_draining_host("avd-002", sessions=4)]
    pool = a_pool([*hosts, a_host("avd-003", NEXT, sessions=4)])
    told = {
        name: a_drain(told={f"{name}/{n}": MORNING for n in range(1, 5)}, notices=9) for name in ("avd-001", "avd-002")
    }
    decision = decide(a_rolling_state(pool, told), pool, a_policy(reserve=0), MORNING)

    assert len([step for step in decision.steps if isinstance(step, SignOutSessions)]) == 1


def test_a_message_that_fails_is_sent_again_and_the_deadline_counts_from_the_one_that_arrived() -> None:
    world = stubborn_world(2)
    world.refuse(NotifySessions, StepError("503", "busy"), times=3)
    world.run(lambda world: world.messages)
    told_at, notice = world.messages[0]
    world.run(lambda world: world.forced)
    (signed_out, *_) = [at for at, step in world.done_steps if isinstance(step, SignOutSessions)]

    assert signed_out - told_at >= hours(1)
    assert notice.host


def test_a_reminder_that_fails_is_sent_again_and_the_deadline_stays() -> None:
    told = a_drain(told={"avd-001/1": MORNING + minutes(10)})
    state = a_rolling_state(a_pool([a_draining_host(sessions=1), a_host("avd-002")]), {"avd-001": told})
    decision = decide(state, a_pool([a_draining_host(sessions=1), a_host("avd-002")]), a_policy(), MORNING)
    (reminder,) = [step for step in decision.steps if isinstance(step, NotifySessions)]
    state = record(decision.state, [StepOutcome(reminder, StepError("503", "busy"))], MORNING)

    again = state.in_hand["avd-001"].sessions["avd-001/1"]
    assert (again.deadline, again.notices) == (MORNING + minutes(10), 1)


def test_a_host_whose_people_can_never_be_told_is_skipped_rather_than_waited_for_for_ever() -> None:
    world = stubborn_world()
    world.refuse(NotifySessions, StepError("BadRequest", "the session host does not answer"), host="avd-001")
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert world.state.skipped == {"avd-001": "StepKeepsFailing"}
    assert "avd-001 (StepKeepsFailing)" in world.state.message
    assert world.hosts["avd-001"].allows_new_sessions


def test_a_throttled_message_is_not_sent_again_before_azure_allows_it() -> None:
    world = stubborn_world()
    world.refuse(NotifySessions, StepError("429", "too many", retry_after=600), host="avd-001", times=1)
    tries: list[datetime] = []
    while not world.messages:
        now = world.now
        tries += [now for step in world.turn().steps if isinstance(step, NotifySessions)]

    assert tries[1] - tries[0] >= minutes(10)


def test_a_session_that_does_not_end_though_it_was_signed_out_does_not_hold_the_rollout_up_for_ever() -> None:
    world = stubborn_world(3, sessions=1)
    world.hung.add("avd-001/1")
    world.run()

    assert world.state.skipped == {"avd-001": "DoesNotBecomeEmpty"}
    assert world.versions() == {NEXT: 2, "1.0.0": 1}
    assert world.state.forced_sign_outs == 3, "each person counts once, however often it was tried"
    assert world.times_told("signed out 1 person whose grace period has ended on avd-001") == 1


def test_sessions_that_a_host_counts_and_nobody_lists_do_not_hold_the_rollout_up_for_ever() -> None:
    world = World(a_pool([a_host("avd-001", session_count=1), *hosts_named(2, first=2)])).run()

    assert world.state.skipped == {"avd-001": "DoesNotBecomeEmpty"}
    assert world.hosts["avd-001"].allows_new_sessions


# ------------------------------------------------------------------------------------------------------------ removal


def test_an_empty_host_is_removed_at_once() -> None:
    pool = a_pool([a_draining_host(), *hosts_named(2, first=2), a_host("avd-004", NEXT)])
    decision = decide(a_rolling_state(pool, {"avd-001": a_drain()}, desired=3), pool, a_policy(), MORNING)

    assert RemoveHost in {type(step) for step in decision.steps}
    assert decision.state.in_hand["avd-001"].stage is Stage.REMOVING


@pytest.mark.parametrize("fields", [{"allows_new_sessions": True}, {"tags": {}}])
def test_a_host_that_is_not_seen_drained_and_tagged_is_drained_again_before_it_is_removed(
    fields: dict[str, Any],
) -> None:
    pool = a_pool([structs.replace(a_draining_host(), **fields), *hosts_named(2, first=2)])
    decision = decide(a_rolling_state(pool, {"avd-001": a_drain()}), pool, a_policy(), MORNING)

    assert [type(step) for step in decision.steps if step.host == "avd-001"] == [StartDraining]


def test_a_host_on_which_somebody_appears_at_the_last_moment_is_drained_anew_with_a_whole_grace_period() -> None:
    world = stubborn_world(3, sessions=0).run(lambda world: world.state.canary_passed and world.draining())
    name = world.draining()[0]
    world.sign_in(name, "somebody late")
    world.refuse(RemoveHost, StepError("HostInUse", "1 session", retriable=False), times=1)
    arrived = world.now
    world.run(lambda world: name not in world.hosts)

    assert world.forced == {"somebody late": 1}
    assert world.now - arrived >= hours(1)


def test_a_refused_removal_of_a_host_in_use_goes_back_to_draining() -> None:
    pool = a_pool([a_draining_host(), *hosts_named(2, first=2), a_host("avd-004", NEXT)])
    decision = decide(a_rolling_state(pool, {"avd-001": a_drain()}, desired=3), pool, a_policy(), MORNING)
    (removal,) = [step for step in decision.steps if isinstance(step, RemoveHost)]
    state = record(decision.state, [StepOutcome(removal, StepError("HostInUse", "1 session"))], MORNING)

    assert state.in_hand["avd-001"].stage is Stage.DRAINING
    assert state.in_hand["avd-001"].attempts == 0


def test_drain_mode_that_autoscale_turns_off_is_turned_on_again() -> None:
    world = stubborn_world().run(lambda world: world.messages)
    name = world.messages[0][1].host
    world.change(name, allows_new_sessions=True)
    world.run_for(minutes(5))

    assert not world.hosts[name].allows_new_sessions
    assert world.told(f"somebody turned drain mode off on {name}; it is turned on again")


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
def test_autoscale_that_keeps_turning_drain_mode_off_does_not_keep_a_host_for_ever(strategy: str) -> None:
    world = World(a_pool(hosts_named(3, sessions=1)), a_policy(strategy=strategy))

    def flip() -> None:
        for name in world.draining():
            world.change(name, allows_new_sessions=True)
        world.at(minutes(7), flip)

    world.at(minutes(7), flip)
    assert world.run().versions() == {NEXT: 3}


# ---------------------------------------------------------------------------------- switched off, or drained by others


def test_a_host_that_is_switched_off_is_replaced_by_one_that_is_switched_off_again() -> None:
    world = World(a_pool([*hosts_named(3, sessions=1), *hosts_named(2, first=4, powered_off=True)])).run()

    assert world.state.phase is Phase.SUCCEEDED
    assert sorted(host.power for host in world.hosts.values()) == ["deallocated"] * 2 + ["running"] * 3
    assert all(host.allows_new_sessions for host in world.hosts.values())


def test_a_host_that_is_switched_off_is_not_removed_before_the_one_that_takes_its_place_is_in_service() -> None:
    world = World(a_pool([*hosts_named(3, sessions=1), a_host("avd-004", powered_off=True)]))
    world.run(lambda world: [step for step in world.steps(RemoveHost) if step.host == "avd-004"])

    assert [host.name for host in world.hosts.values() if host.power == "deallocated" and host.name > "avd-004"]


def test_a_host_that_somebody_drained_is_never_undrained_and_its_replacement_stays_drained() -> None:
    """That drain mode of others is never turned off is checked with every step of every test."""
    hosts = [*hosts_named(3, sessions=1), a_host("avd-004", drained=True), a_host("avd-005", sessions=2, drained=True)]
    world = World(a_pool(hosts)).run()

    assert world.versions() == {NEXT: 5}
    assert sum(not host.allows_new_sessions for host in world.hosts.values()) == 2
    assert not any(host.is_tagged for host in world.hosts.values())


def test_a_new_host_that_somebody_drains_before_it_is_known_to_be_in_service_stays_drained() -> None:
    """The answer to putting it into service was lost; meanwhile an administrator has drained it."""
    world = World(a_pool(hosts_named(3)))
    world.refuse(StopDraining, StepError("ConnectionLost", "no answer"), times=1, after_doing_it=True)
    world.run(lambda world: world.hosts.get("avd-004") and world.told("avd-004 is good and in service"))
    world.change("avd-004", allows_new_sessions=False)
    world.held_by_others.add("avd-004")
    world.run()

    assert world.state.phase is Phase.SUCCEEDED
    assert not world.hosts["avd-004"].allows_new_sessions


def test_a_halt_leaves_a_host_that_somebody_drained_in_drain_mode() -> None:
    pool = a_pool([a_draining_host(sessions=2), *hosts_named(3, first=2)], target=None)
    world = World(pool, state=a_rolling_state(pool, {"avd-001": a_drain(stays_drained=True)}))
    world.run()

    assert not world.hosts["avd-001"].allows_new_sessions
    assert not world.hosts["avd-001"].is_tagged
    assert not world.steps(StopDraining)


def test_a_host_whose_switching_off_was_answered_with_a_broken_connection_is_in_service_all_the_same() -> None:
    world = World(a_pool([*hosts_named(2, sessions=1), a_host("avd-003", powered_off=True)]))
    world.refuse(ReleaseHost, StepError("ConnectionLost", "no answer"), times=1, after_doing_it=True)
    world.run()

    assert world.state.phase is Phase.SUCCEEDED
    assert not world.state.quarantined


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
def test_a_pool_whose_hosts_are_all_switched_off_is_rolled_over(strategy: str) -> None:
    world = World(a_pool(hosts_named(4, powered_off=True)), a_policy(strategy=strategy)).run()

    assert world.versions() == {NEXT: 4}
    assert len(world.steps(ProvisionHost)) == 4


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
def test_a_pool_that_autoscale_switches_off_at_night_and_on_by_day_is_rolled_over(strategy: str) -> None:
    world = World(a_pool(hosts_named(6)), a_policy(strategy=strategy, reserve=5))

    def switch(power: str, status: str) -> None:
        in_hand = world.state.in_hand
        for host in [h for h in world.hosts.values() if h.registration and h.name not in in_hand and not h.load]:
            world.change(host.name, power=power, status=status)
        flip = ("running", "Available") if power == "deallocated" else ("deallocated", "Shutdown")
        world.at(hours(12), lambda: switch(*flip))

    world.at(minutes(25), lambda: switch("deallocated", "Shutdown"))
    assert world.run().versions() == {NEXT: 6}
