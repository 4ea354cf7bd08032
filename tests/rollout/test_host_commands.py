"""Skip and retry: each command reaches the rollout once and in order, and does what it says or says why not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from rollout.commands import Command, Refused, obey, read_command
from rollout.lease import (
    MOST_COMMANDS,
    MOST_PASSED_ON,
    ROOM_IN_QUEUE,
    Lease,
    acquire,
    check_in,
    command,
    release,
)
from rollout.model import QUARANTINE_TAG, ROLLOUT_TAG, HostProgress, Phase, Stage, Vacancy
from rollout.policy import hours, minutes
from rollout.pool import decide, decide_unreadable, supersede, tell
from rollout.recording import of_decision
from rollout.rolling_back import go_back
from rollout.steps import (
    NotifySessions,
    ProvisionHost,
    RemoveHost,
    SignOutSessions,
    StartDraining,
    StepError,
    StopDraining,
)
from tests.rollout.builders import (
    MORNING,
    NEXT,
    a_draining_host,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    hosts_named,
    version_id,
)
from tests.rollout.world import BROKEN, GOOD, NEVER_REGISTERS, UNHEALTHY, World

RAJ = "raj@contoso.com"
MINE, OTHER = "image-2.0.0:office", "image-3.0.0:office"
PAUSE, ABORT = Command("pause", RAJ, "the town hall"), Command("abort", RAJ, "a wrong build")


def to_skip(host: str, number: int = 0, reason: str = "a disk is being restored") -> Command:
    return Command("skip", RAJ, reason, MORNING, host, number)


def to_retry(host: str = "", number: int = 0) -> Command:
    return Command("retry", RAJ, "it is mended", MORNING, host, number)


# -------------------------------------------------------------------------------------------------------- what stands


@pytest.mark.parametrize("given", [to_skip("avd-001"), to_retry()])
def test_what_is_carried_out_once_leaves_what_stands_and_is_refused_when_the_rollout_ends(given: Command) -> None:
    assert obey(None, given) is None
    assert obey(PAUSE, given) == PAUSE
    for standing, code in ((ABORT, "AbortedAlready"), (Command("supersede", OTHER), "SupersededAlready")):
        refused = obey(standing, given)
        assert isinstance(refused, Refused)
        assert refused.code == code


def test_a_rollout_as_a_whole_takes_no_command_for_a_host() -> None:
    assert read_command({"kind": "skip", "by": RAJ, "host": "avd-001"}) is None


# ---------------------------------------------------------------------------------------------------------- the lease


def held() -> Lease:
    return acquire(Lease(), MINE, version_id(NEXT), "supersede", MORNING)[0]


def tell_all(lease: Lease, *given: Command, rollout: str = MINE) -> Lease:
    for one in given:
        lease, answer = command(lease, rollout, one, MORNING)
        assert answer.verdict == "granted"
    return lease


def test_commands_come_in_the_order_in_which_they_were_given_until_they_are_carried_out() -> None:
    lease = tell_all(held(), to_skip("avd-001"), to_retry("avd-001"), to_skip("avd-002"))

    lease, answer = check_in(lease, MINE, MORNING + minutes(1))
    assert [(one.kind, one.host, one.number) for one in answer.queued] == [
        ("skip", "avd-001", 1),
        ("retry", "avd-001", 2),
        ("skip", "avd-002", 3),
    ]
    # The turn may be lost with all that it has decided: they come again.
    assert check_in(lease, MINE, MORNING + minutes(2))[1].queued == answer.queued

    lease, answer = check_in(lease, MINE, MORNING + minutes(3), carried_out=2)
    assert [one.number for one in answer.queued] == [3]
    lease, answer = check_in(lease, MINE, MORNING + minutes(4), carried_out=3)
    assert (answer.queued, lease.queued) == ((), {})

    lease = tell_all(lease, to_skip("avd-004"))
    assert [one.number for one in check_in(lease, MINE, MORNING, carried_out=3)[1].queued] == [4]


def test_the_same_command_twice_is_two_as_the_first_may_have_been_carried_out() -> None:
    lease = tell_all(held(), to_retry("avd-001"), to_retry("avd-001"))

    assert [one.number for one in check_in(lease, MINE, MORNING, carried_out=1)[1].queued] == [2]


def test_commands_wait_for_a_rollout_that_has_not_come_and_are_gone_with_it() -> None:
    lease = tell_all(held(), to_skip("avd-001"), rollout=OTHER)
    lease, _ = release(lease, MINE)
    lease, answer = acquire(lease, OTHER, version_id("3.0.0"), "wait", MORNING + minutes(1))
    assert [one.host for one in answer.queued] == ["avd-001"]

    assert release(lease, OTHER)[0].queued == {}


def test_no_more_wait_and_no_more_are_passed_on_than_there_is_room_for() -> None:
    lease = tell_all(held(), *(to_skip(f"avd-{n:03}") for n in range(ROOM_IN_QUEUE)))
    lease, answer = command(lease, MINE, to_skip("one-more"), MORNING)
    assert (answer.verdict, len(lease.queued[MINE])) == ("refused", ROOM_IN_QUEUE)

    taken: list[str] = []
    carried_out = 0
    while queued := check_in(lease, MINE, MORNING, carried_out=carried_out)[1].queued:
        assert len(queued) <= MOST_PASSED_ON
        taken += [one.host for one in queued]
        carried_out = queued[-1].number
    assert taken == [f"avd-{n:03}" for n in range(ROOM_IN_QUEUE)]


def test_commands_for_rollouts_that_never_come_do_not_pile_up() -> None:
    lease = held()
    for number in range(100):
        lease = tell_all(lease, to_skip("avd-001"), rollout=f"image-{number}:office")

    assert len(lease.queued) == MOST_COMMANDS + 1
    assert "image-99:office" in lease.queued


def test_a_lease_that_was_stored_before_there_were_such_commands_is_read() -> None:
    stored = {"holder": MINE, "target": "t", "renewed_at": MORNING.isoformat(), "fence": 3, "commands": {}}

    assert msgspec.convert(stored, Lease).queued == {}


def test_a_lease_that_was_deleted_goes_on_counting_where_the_rollout_is() -> None:
    lease, _ = check_in(held(), MINE, MORNING, carried_out=17)

    assert tell_all(lease, to_skip("avd-001")).queued[MINE][0].number == 18


# ----------------------------------------------------------------------------------------------------------- the pool


def given(world: World, *commands: Command) -> World:
    """The rollout is told these now, and takes a turn."""
    first = world.state.carried_out + 1
    numbered = [structs.replace(one, number=first + n) for n, one in enumerate(commands)]
    world.state = tell(world.state, world.state.command, tuple(numbered))
    world.turn()
    return world


def touched(world: World, name: str) -> list[object]:
    return [s for kind in (StartDraining, SignOutSessions, RemoveHost) for s in world.steps(kind, name)]


def stubborn() -> World:
    """People on the hosts of this pool never leave by themselves, and the policy waits for them."""
    world = World(a_pool(hosts_named(4, sessions=2)), a_policy(drain={"on_timeout": "wait"}))
    world.leave_after = None
    return world


def an_asked_host(world: World) -> str:
    """The world goes on until people on a host have been asked to leave; its name."""
    world.run(lambda world: any(host.asked and host.sessions for host in world.state.in_hand.values()))
    return next(name for name, host in world.state.in_hand.items() if host.asked and host.sessions)


def test_a_host_that_nobody_has_touched_is_left_alone_and_named_at_the_end() -> None:
    world = World(a_pool(hosts_named(4)))
    given(world, to_skip("avd-002"))
    world.run()

    assert world.told("avd-002 is skipped by raj@contoso.com: a disk is being restored")
    assert touched(world, "avd-002") == []
    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert "avd-002 (SkippedByOperator: raj@contoso.com: a disk is being restored)" in world.state.message
    assert world.versions() == {"1.0.0": 1, NEXT: 3}
    assert world.nothing_is_left_over()


def test_a_host_whose_people_were_asked_to_leave_is_given_back_and_they_may_stay() -> None:
    world = stubborn()
    name = an_asked_host(world)
    given(world, to_skip(name))
    before = len(touched(world, name))
    for other in set(world.hosts) - {name}:
        for session in world.hosts[other].sessions:
            world.sign_out(other, session.id)
    world.run_for(hours(3))

    assert [step.title for step in world.steps(NotifySessions, name)][-1] == world.policy.drain.notice.withdrawn_title
    assert world.hosts[name].allows_new_sessions
    assert ROLLOUT_TAG not in world.hosts[name].tags
    assert len(touched(world, name)) == before


def test_a_steered_host_that_is_skipped_serves_people_again() -> None:
    world = World(a_pool(hosts_named(6, sessions=3)))
    world.run(lambda world: world.last and world.state.canary_passed and _steered(world))
    name = _steered(world)[0]
    given(world, to_skip(name))
    world.run_for(minutes(10))

    assert world.hosts[name].allows_new_sessions
    assert not world.hosts[name].is_tagged


def _steered(world: World) -> list[str]:
    return [n for n, h in world.hosts.items() if h.is_tagged and n <= "avd-006" and n not in world.state.in_hand]


def test_a_host_that_holds_the_rollout_up_is_skipped_and_the_rollout_ends() -> None:
    world = stubborn()
    for name in ("avd-001", "avd-002", "avd-003"):
        for session in world.hosts[name].sessions:
            world.sign_out(name, session.id)
    name = an_asked_host(world)
    world.run_for(hours(6))
    assert world.last is not None
    assert not world.last.done
    given(world, to_skip(name))
    world.run()

    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert list(world.state.skipped) == [name]
    assert world.nothing_is_left_over()


def test_a_pool_whose_hosts_are_all_skipped_ends_without_a_canary() -> None:
    world = World(a_pool(hosts_named(2)))
    given(world, to_skip("avd-001"), to_skip("avd-002"))

    assert world.last is not None
    assert world.last.done
    assert world.state.phase is Phase.SUCCEEDED_WITH_SKIPS
    assert world.steps(ProvisionHost) == []


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        (Stage.REMOVING, "it is being removed already"),
        (Stage.DISCARDING, "it is being removed already"),
        (Stage.PROVISIONING, "it is a new host"),
        (Stage.JOINING, "it is a new host"),
        (Stage.VERIFYING, "it is a new host"),
    ],
)
def test_a_host_in_hand_that_cannot_be_skipped_goes_on_and_the_story_says_why(stage: Stage, why: str) -> None:
    pool = a_pool([a_draining_host("avd-001"), *hosts_named(3, first=2)])
    state = a_rolling_state(pool, {"avd-001": HostProgress(stage, MORNING)})
    decision = decide(tell(state, None, (to_skip("avd-001", 1),)), pool, a_policy(), MORNING)

    told = "told to skip avd-001 by raj@contoso.com: a disk is being restored; nothing is done: "
    assert any(sentence.startswith(told + why) for sentence in decision.story)
    assert decision.state.skipped == {}
    assert decision.state.carried_out == 1


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("avd-001", {"version": NEXT}, "it is in service on the version: there is nothing to skip"),
        ("avd-001", {"tags": {"goldroll-retained": "x"}, "power": "deallocated"}, "it has been replaced"),
        ("avd-001", {"provisioning": "Deleting"}, "it is being removed already"),
        ("nobody", {}, "the host pool has no such host"),
    ],
)
def test_a_host_that_is_not_in_hand_and_cannot_be_skipped(name: str, fields: dict[str, Any], why: str) -> None:
    pool = a_pool([a_host("avd-001", **fields), *hosts_named(3, first=2)])
    decision = decide(tell(a_rolling_state(pool), None, (to_skip(name, 1),)), pool, a_policy(), MORNING)

    assert any("nothing is done: " + why in sentence for sentence in decision.story)
    assert decision.state.skipped == {}


def test_a_skipped_host_cannot_be_skipped_again_and_a_retry_takes_it_in_hand_after_all() -> None:
    world = World(a_pool(hosts_named(4)))
    given(world, to_skip("avd-002"))
    given(world, to_skip("avd-002"))
    assert world.told("nothing is done: it is skipped already")

    given(world, to_retry("avd-002"))
    world.run()
    assert world.told("avd-002 is to be replaced after all, by raj@contoso.com: it is mended")
    assert world.state.phase is Phase.SUCCEEDED
    assert world.versions() == {NEXT: 4}


def test_commands_for_one_host_take_a_turn_each_where_each_needs_a_step() -> None:
    world = stubborn()
    name = an_asked_host(world)
    numbered = (to_skip(name, 1), to_retry(name, 2), to_skip(name, 3))
    world.state = tell(world.state, None, numbered)
    world.turn()
    assert (world.state.carried_out, name in world.state.skipped) == (1, True)
    for _ in range(2):
        world.state = tell(world.state, None, numbered)
        world.turn()

    assert (world.state.carried_out, name in world.state.skipped) == (3, True)


def test_a_command_is_carried_out_once_however_often_it_comes() -> None:
    pool = a_pool(hosts_named(4))
    policy, command_1 = a_policy(), to_skip("avd-002", 1)
    first = decide(tell(a_rolling_state(pool), None, (command_1,)), pool, policy, MORNING).state
    back = decide(tell(first, None, (to_retry("avd-002", 2),)), pool, policy, MORNING).state
    again = decide(tell(back, None, (command_1,)), pool, policy, MORNING).state

    assert (list(first.skipped), back.skipped, again.skipped) == (["avd-002"], {}, {})
    assert first.queued == ()


def test_a_command_waits_while_the_pool_cannot_be_read() -> None:
    pool = a_pool(hosts_named(4))
    told = tell(a_rolling_state(pool), None, (to_skip("avd-002", 1),))
    unreadable = decide_unreadable(told, StepError("503", "busy"), MORNING)
    assert unreadable.state.carried_out == 0
    assert [e.kind for e in of_decision(told, unreadable, {}, MORNING)] == ["Noted"]

    again = tell(unreadable.state, None, (to_skip("avd-002", 1),))
    assert list(decide(again, pool, a_policy(), MORNING).state.skipped) == ["avd-002"]


@pytest.mark.parametrize("how", ["halted", "aborted", "superseded"])
def test_a_rollout_that_comes_to_its_end_takes_no_such_command(how: str) -> None:
    pool = a_pool([a_draining_host("avd-001"), *hosts_named(3, first=2)])
    state = a_rolling_state(pool, {"avd-001": HostProgress(Stage.GIVING_BACK, MORNING)})
    if how == "halted":
        state = structs.replace(state, phase=Phase.HALTED, message="halted")
    state = tell(state, ABORT if how == "aborted" else None, (to_skip("avd-002", 1), to_retry("avd-003", 2)))
    decision = decide(supersede(state, "v") if how == "superseded" else state, pool, a_policy(), MORNING)

    assert (decision.state.skipped, decision.state.carried_out) == ({}, 2)
    assert sum("nothing is done: the rollout " in sentence for sentence in decision.story) == 2


def test_a_paused_rollout_skips_a_host_and_gives_it_back() -> None:
    world = stubborn()
    world.run(lambda world: world.state.canary_passed and _steered(world))
    name = _steered(world)[0]
    world.state = tell(world.state, PAUSE, (to_skip(name, 1),))
    world.run_for(minutes(10))

    assert (world.state.phase, list(world.state.skipped)) == (Phase.PAUSED, [name])
    assert not world.hosts[name].is_tagged


# -------------------------------------------------------------------------------------------------------------- retry


def test_a_quarantined_host_proves_itself_once_more_in_the_place_of_the_one_that_was_owed() -> None:
    world = World(a_pool(hosts_named(6)))
    world.fates["avd-008"] = UNHEALTHY
    world.run(lambda world: "avd-008" in world.state.quarantined)
    world.run_for(minutes(3))
    assert "goldroll-quarantined" in world.hosts["avd-008"].tags
    world.fates["avd-008"] = GOOD
    given(world, to_retry("avd-008"))
    assert world.state.quarantined == {}
    world.run()

    assert world.told("avd-008 must prove itself once more, by raj@contoso.com: it is mended")
    assert (world.state.phase, world.versions()) == (Phase.SUCCEEDED, {NEXT: 6})
    assert world.steps(StopDraining, "avd-008")
    assert world.nothing_is_left_over()


def test_a_quarantined_host_takes_over_what_the_pool_is_owed() -> None:
    failed = a_host("avd-005", version=NEXT, drained=True, tags={QUARANTINE_TAG: "NotReadyInTime"})
    pool = a_pool([*hosts_named(4), failed])
    owed = (Vacancy("avd-001"), Vacancy("avd-009", stays_off=True))
    state = a_rolling_state(pool, quarantined={"avd-005": "NotReadyInTime"}, owed=owed, desired=4, settled=4)
    after = decide(tell(state, None, (to_retry("avd-005", 1),)), pool, a_policy(), MORNING)

    assert Vacancy("avd-009", stays_off=True) not in after.state.owed
    taken = after.state.in_hand["avd-005"]
    assert (taken.stage, taken.replaces, taken.stays_off) == (Stage.RESTORING, "avd-009", True)
    # As long as Azure shows the mark the host is not proven, and the mark is to come off once more.
    later = structs.replace(after.state, in_hand={"avd-005": taken})
    again = decide(later, pool, a_policy(), MORNING + minutes(5))
    assert again.state.in_hand["avd-005"].stage is Stage.RESTORING
    assert [type(step).__name__ for step in again.steps if step.host == "avd-005"] == ["RestoreHost"]


def test_a_roll_back_does_neither_what_its_rollout_has_done_nor_take_hosts_of_the_refused_version_back() -> None:
    failed = a_host("avd-005", version=NEXT, drained=True, tags={QUARANTINE_TAG: "NotReadyInTime"})
    pool = a_pool([*hosts_named(3), a_host("avd-004", version=NEXT), failed])
    halted = a_rolling_state(
        pool,
        phase=Phase.HALTED,
        reason="NotReadyInTime",
        message="halted",
        previous=version_id("1.0.0"),
        carried_out=7,
        quarantined={"avd-005": "NotReadyInTime"},
    )
    back = go_back(halted, a_policy(on_failure="roll_back"), MORNING)
    assert back is not None
    told = tell(back, None, (to_skip("avd-004", 7), to_retry("avd-005", 8)))
    decision = decide(told, pool, a_policy(), MORNING)

    assert (decision.state.skipped, decision.state.carried_out) == ({}, 8)
    assert "avd-005" in decision.state.quarantined
    assert any("nothing is done: it runs the version that is replaced" in told for told in decision.story)


@pytest.mark.parametrize("fate", [NEVER_REGISTERS, BROKEN])
def test_a_host_that_never_registered_is_not_retried_as_another_takes_its_place(fate: str) -> None:
    world = World(a_pool(hosts_named(6)))
    world.fates["avd-008"] = fate
    world.run(lambda world: "avd-008" in world.state.quarantined)
    given(world, to_retry("avd-008"))

    assert world.told("nothing is done: it is not registered with the host pool; another host takes its place")
    assert "avd-008" in world.state.quarantined


def test_a_step_that_keeps_failing_is_tried_now_and_its_attempts_begin_anew() -> None:
    pool = a_pool([a_draining_host("avd-001"), *hosts_named(3, first=2)])
    waiting = HostProgress(Stage.REMOVING, MORNING, attempts=9, retry_at=MORNING + hours(1), reason="Locked: a lock")
    state = a_rolling_state(pool, {"avd-001": waiting})
    assert "avd-001" not in [step.host for step in decide(state, pool, a_policy(), MORNING).steps]

    for told in (to_retry("avd-001", 1), to_retry("", 1)):
        decision = decide(tell(state, None, (told,)), pool, a_policy(), MORNING)
        assert [type(step) for step in decision.steps if step.host == "avd-001"] == [RemoveHost]
        assert decision.state.in_hand["avd-001"].attempts == 0


def test_a_host_that_was_skipped_after_its_attempts_is_replaced_when_the_fault_is_mended() -> None:
    world = World(a_pool(hosts_named(4)))
    world.refuse(RemoveHost, StepError("ScopeLocked", "there is a lock"), host="avd-002")
    world.run(lambda world: "avd-002" in world.state.skipped)
    world.allow_everything()
    given(world, to_retry("avd-002"))
    world.run()

    assert (world.state.phase, world.versions()) == (Phase.SUCCEEDED, {NEXT: 4})


def test_new_hosts_that_wait_for_room_are_tried_now() -> None:
    world = World(a_pool(hosts_named(4)))
    world.refuse(ProvisionHost, StepError("SkuNotAvailable", "no room"))
    world.run(lambda world: world.state.blocked and world.state.blocked.attempts >= 4)
    assert world.state.blocked is not None
    world.now = world.state.blocked.retry_at - minutes(15)
    given(world)
    assert world.last is not None
    assert not world.last.steps
    given(world, to_retry())

    assert len(world.last.steps) == 1
    assert world.told("trying again now: new hosts, by raj@contoso.com: it is mended")


def test_a_host_that_an_earlier_rollout_has_quarantined_is_none_of_this_ones() -> None:
    pool = a_pool([a_host("avd-001", version=NEXT, tags={"goldroll-quarantined": "x"}), *hosts_named(3, first=2)])
    decision = decide(tell(a_rolling_state(pool), None, (to_retry("avd-001", 1),)), pool, a_policy(), MORNING)

    assert any("nothing is done: an earlier rollout has set it aside" in sentence for sentence in decision.story)
    assert decision.state.in_hand.keys() == {step.host for step in decision.steps} - {"avd-001"}


def test_where_nothing_waits_a_retry_says_so() -> None:
    world = World(a_pool(hosts_named(4)))
    given(world, to_retry(), to_retry("avd-001"), to_retry("nobody"))

    assert world.told("told to retry by raj@contoso.com: it is mended; nothing is done: nothing waits")
    assert world.told("told to retry avd-001 by raj@contoso.com: it is mended; nothing is done: nothing of it waits")
    assert world.told("nothing is done: the host pool has no such host")


# ------------------------------------------------------------------------------------------------------------- record


def test_the_record_says_who_has_skipped_a_host_and_why_and_what_could_not_be_done() -> None:
    pool = a_pool(hosts_named(4))
    before = tell(a_rolling_state(pool), None, (to_skip("avd-002", 1), to_skip("nobody", 2)))
    decision = decide(before, pool, a_policy(), MORNING)
    events = of_decision(before, decision, {host.name: host for host in pool.hosts}, MORNING)

    taken = [(e.reason, e.host, e.by, e.message) for e in events if e.kind == "CommandTaken"]
    why = "by raj@contoso.com: a disk is being restored"
    assert taken == [
        ("Skipped", "avd-002", RAJ, f"told to skip avd-002 {why}"),
        ("Skipped", "nobody", RAJ, f"told to skip nobody {why}; nothing is done: the host pool has no such host"),
    ]
    (moved,) = [e for e in events if e.kind == "HostStageChanged" and e.host == "avd-002"]
    assert (moved.stage, moved.reason, moved.message) == ("Skipped", "SkippedByOperator", f"avd-002 is skipped {why}")
    assert not [e for e in events if e.kind == "Noted" and "nobody" in e.message]
