"""What operators tell a rollout: what stands, how it reaches a host pool's rollout, and what becomes of the pool."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.commands import LONGEST_REASON, Command, Refused, obey, read_command
from rollout.lease import MOST_COMMANDS, Lease, acquire, check_in, command, release
from rollout.model import Phase
from rollout.policy import hours, minutes
from rollout.pool import supersede, tell
from rollout.steps import NotifySessions, SignOutSessions, StartDraining
from tests.rollout.builders import MORNING, NEXT, a_policy, a_pool, hosts_named, version_id
from tests.rollout.world import World

RAJ, ANDREA = "raj@contoso.com", "andrea@contoso.com"
PAUSE = Command("pause", RAJ, "the town hall begins", MORNING)
RESUME = Command("resume", ANDREA, "it is over", MORNING)
ABORT = Command("abort", RAJ, "a wrong build", MORNING)
NEWER = Command("supersede", "image-3.0.0", "version 3.0.0 has been published", MORNING)
MINE, OTHER = "image-2.0.0:office", "image-3.0.0:office"


# ----------------------------------------------------------------------------------------------------- what stands


def test_a_pause_stands_until_it_is_resumed_and_an_abort_for_ever() -> None:
    assert obey(None, PAUSE) == PAUSE
    assert obey(PAUSE, RESUME) is None
    assert obey(None, ABORT) == ABORT
    assert obey(PAUSE, ABORT) == ABORT
    assert obey(PAUSE, NEWER) == NEWER
    assert obey(NEWER, ABORT) == ABORT


@pytest.mark.parametrize(
    ("standing", "given", "code", "why"),
    [
        (None, RESUME, "NotPaused", "it is not paused"),
        (PAUSE, PAUSE, "PausedAlready", "paused by raj@contoso.com: the town hall begins"),
        (ABORT, PAUSE, "AbortedAlready", "aborted by raj@contoso.com: a wrong build"),
        (ABORT, RESUME, "AbortedAlready", "aborted by"),
        (ABORT, ABORT, "AbortedAlready", "aborted by"),
        (ABORT, NEWER, "AbortedAlready", "aborted by"),
        (NEWER, PAUSE, "SupersededAlready", "superseded by image-3.0.0"),
        (NEWER, NEWER, "SupersededAlready", "superseded by image-3.0.0"),
    ],
)
def test_a_command_that_changes_nothing_is_refused_with_why(
    standing: Command | None, given: Command, code: str, why: str
) -> None:
    refused = obey(standing, given)

    assert isinstance(refused, Refused)
    assert refused.code == code
    assert why in refused.why


@pytest.mark.parametrize(
    "raw",
    [None, "", "nonsense", 7, [], {}, {"kind": "dance", "by": RAJ}, {"kind": "pause"}, {"kind": "pause", "by": ""}],
)
def test_what_is_no_command_is_none(raw: Any) -> None:
    assert read_command(raw) is None


def test_a_command_is_read_as_an_object_or_as_text_and_cut_to_size() -> None:
    assert read_command({"kind": "pause", "by": RAJ}) == Command("pause", RAJ)
    assert read_command('{"kind": "abort", "by": "raj"}') == Command("abort", "raj")
    long = read_command({"kind": "pause", "by": RAJ, "reason": "x" * 5000})
    assert long is not None
    assert len(long.reason) == LONGEST_REASON


# ------------------------------------------------------------------------------------------------------- the lease


def held() -> Lease:
    lease, _ = acquire(Lease(), MINE, version_id("2.0.0"), "supersede", MORNING)
    return lease


def test_the_holder_learns_of_a_command_when_it_checks_in() -> None:
    lease, answer = command(held(), MINE, PAUSE, MORNING)
    assert answer.verdict == "granted"

    lease, answer = check_in(lease, MINE, MORNING + minutes(1))
    assert answer.command == PAUSE

    lease, _ = command(lease, MINE, RESUME, MORNING + minutes(2))
    _, answer = check_in(lease, MINE, MORNING + minutes(3))
    assert answer.command is None


def test_a_rollout_that_waits_or_has_not_come_yet_learns_of_it_when_it_asks() -> None:
    lease, _ = command(held(), OTHER, ABORT, MORNING)
    lease, answer = acquire(lease, OTHER, version_id("3.0.0"), "wait", MORNING + minutes(1))
    assert (answer.verdict, answer.command) == ("waiting", ABORT)

    lease, _ = release(lease, MINE)
    lease, answer = acquire(lease, OTHER, version_id("3.0.0"), "wait", MORNING + minutes(2))
    assert (answer.verdict, answer.command) == ("granted", ABORT)


def test_a_command_is_for_one_rollout_only_and_gone_with_it() -> None:
    lease, _ = command(held(), OTHER, ABORT, MORNING)
    lease, answer = check_in(lease, MINE, MORNING)
    assert answer.command is None

    lease, _ = release(lease, OTHER)
    assert lease.commands == {}


def test_a_command_that_changes_nothing_is_answered_and_leaves_the_lease_as_it_is() -> None:
    lease, _ = command(held(), MINE, PAUSE, MORNING)
    again, answer = command(lease, MINE, PAUSE, MORNING + minutes(1))

    assert again == lease
    assert (answer.verdict, answer.message) == (
        "refused",
        "it has been paused by raj@contoso.com: the town hall begins",
    )


def test_commands_for_rollouts_that_never_come_do_not_pile_up() -> None:
    lease = held()
    for number in range(100):
        lease, _ = command(lease, f"image-{number}:office", ABORT, MORNING + minutes(number))

    assert len(lease.commands) == MOST_COMMANDS + 1
    assert "image-99:office" in lease.commands


# --------------------------------------------------------------------------------------------------------- the pool


def at_work() -> World:
    """A pool in the middle of its waves: people on some hosts have been asked to leave."""
    world = World(a_pool(hosts_named(8, sessions=3)), a_policy(surge=2, drain={"grace": hours(2)}))
    return world.run(lambda world: any(host.asked and host.sessions for host in world.state.in_hand.values()))


def told(world: World, given: Command | None) -> World:
    world.state = tell(world.state, given)
    return world


def steps_since(world: World, moment: Any, *kinds: type) -> list[Any]:
    """Steps of these kinds that were taken since then, without the drain mode of hosts that are not proven yet."""
    steps: list[Any] = [step for at, step in world.done_steps if at >= moment and isinstance(step, kinds)]
    return [step for step in steps if not (isinstance(step, StartDraining) and step.host > "avd-008")]


@pytest.mark.parametrize("strategy", ["surge", "in_place"])
def test_a_paused_pool_is_left_alone_until_it_is_resumed_and_then_rolled_to_its_end(strategy: str) -> None:
    world = World(a_pool(hosts_named(8, sessions=3)), a_policy(strategy=strategy, drain={"grace": hours(2)}))
    world.run(lambda world: any(host.asked and host.sessions for host in world.state.in_hand.values()))
    told(world, PAUSE)
    paused_at = world.now
    world.run(lambda world: world.now > paused_at + hours(6))

    assert (world.state.phase, world.state.reason) == (Phase.PAUSED, "PausedByOperator")
    assert "paused by raj@contoso.com: the town hall begins" in world.state.message
    assert not steps_since(world, paused_at, SignOutSessions, StartDraining)
    notices = steps_since(world, paused_at, NotifySessions)
    assert {step.title for step in notices} <= {world.policy.drain.notice.withdrawn_title}
    assert not world.state.in_hand
    assert sum(host.registration != "" for host in world.hosts.values()) >= 8

    told(world, None).run()
    assert world.state.phase is Phase.SUCCEEDED
    assert world.versions() == {NEXT: 8}


def test_people_who_were_asked_to_leave_are_told_that_they_may_stay() -> None:
    world = told(at_work(), PAUSE)
    asked = {name for name, host in world.state.in_hand.items() if host.asked and host.sessions}
    paused_at = world.now
    world.turn()

    notices = steps_since(world, paused_at, NotifySessions)
    assert asked
    assert {step.host for step in notices} == asked
    assert not any(host.asked for host in world.state.in_hand.values())


def test_an_aborted_pool_keeps_what_is_done_gives_back_what_is_drained_and_asks_nobody() -> None:
    world = told(at_work(), ABORT)
    aborted_at = world.now
    world.run()

    assert (world.state.phase, world.state.reason) == (Phase.ABORTED, "AbortedByOperator")
    assert "aborted by raj@contoso.com: a wrong build" in world.state.message
    assert not world.draining()
    assert not steps_since(world, aborted_at, SignOutSessions, StartDraining)
    assert world.now - aborted_at < hours(1)
    assert len(world.hosts) >= 8
    assert world.versions()[NEXT] >= 1


def test_a_pool_that_is_aborted_before_anything_was_begun_is_not_touched() -> None:
    world = told(World(a_pool(hosts_named(4, sessions=1))), ABORT)
    world.run()

    assert world.state.phase is Phase.ABORTED
    assert not world.done_steps


def test_a_pause_holds_although_a_newer_version_waits_and_an_abort_ends_it() -> None:
    world = told(at_work(), PAUSE)
    world.state = supersede(world.state, version_id("3.0.0"))
    paused_at = world.now
    world.run(lambda world: world.now > paused_at + hours(2))
    phases = [world.state.phase]
    phases.append(told(world, ABORT).run().state.phase)

    assert phases == [Phase.PAUSED, Phase.ABORTED]


def test_a_pool_that_falls_ill_while_it_is_paused_halts() -> None:
    world = World(a_pool(hosts_named(4)), a_policy(health={"max_unhealthy_percent": 0}))
    world.run(lambda world: world.state.canary_passed)
    told(world, PAUSE).turn()
    for name in list(world.hosts):
        world.change(name, status="Unavailable")
    world.run(Phase.HALTED)

    assert "unhealthy" in world.state.message
