"""How long a rollout has been at work without a host that came further: whoever waits as planned is not idle."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from rollout.commands import Command
from rollout.model import Phase
from rollout.policy import hours, minutes
from rollout.pool import tell
from rollout.steps import ProvisionHost, StepError
from tests.rollout.builders import a_host, a_policy, a_pool, a_window, hosts_named
from tests.rollout.world import World


def idle(world: World) -> timedelta:
    """What the rollout remembers."""
    return timedelta(seconds=world.state.idle)


def stays(**policy: object) -> World:
    """Nobody ever leaves."""
    world = World(a_pool(hosts_named(4, sessions=2)), a_policy(**policy))
    world.leave_after = None
    return world


def test_people_who_stay_beyond_their_deadline_leave_the_rollout_idle() -> None:
    world = stays(drain={"on_timeout": "wait"}).run_for(hours(28))

    assert hours(24) < idle(world) < hours(28)


def test_a_pool_too_full_to_drain_leaves_the_rollout_idle() -> None:
    world = World(a_pool([a_host(sessions=3)]), a_policy(strategy="in_place", reserve=0)).run_for(hours(26))

    assert world.state.reason == "ReserveTooSmall"
    assert idle(world) > hours(24)


def test_a_host_that_comes_further_ends_the_count() -> None:
    world = World(a_pool(hosts_named(4))).run(lambda world: idle(world) > minutes(10))
    done = world.state.counts.current
    world.run(lambda world: world.state.counts.current > done)

    assert idle(world) == timedelta()


def test_an_ordinary_rollout_is_never_idle_for_long() -> None:
    seen: list[timedelta] = []

    def is_over(world: World) -> bool:
        seen.append(idle(world))
        return world.last is not None and world.last.done

    World(a_pool(hosts_named(12, sessions=2))).run(is_over)

    assert minutes(5) < max(seen) < hours(1)


def paused(world: World) -> None:
    world.run(Phase.ROLLING)
    world.state = tell(world.state, Command("pause", "raj@contoso.com", "the town hall"))


def without_room(world: World) -> None:
    world.refuse(ProvisionHost, StepError("QuotaExceeded", "no cores are left"))


def as_it_is(_: World) -> None:
    return


@pytest.mark.parametrize(
    ("world", "prepare", "phase"),
    [
        (lambda: World(a_pool(hosts_named(4))), paused, Phase.PAUSED),
        (lambda: World(a_pool(hosts_named(4))), without_room, Phase.WAITING_CAPACITY),
        (
            lambda: World(
                a_pool(hosts_named(4)), a_policy(windows=(a_window("22:00", hours(1), recurrence=SATURDAYS),))
            ),
            as_it_is,
            Phase.WAITING_WINDOW,
        ),
        (lambda: stays(drain={"grace": hours(72)}), as_it_is, Phase.ROLLING),
        (lambda: stays(finish_within=hours(96)), as_it_is, Phase.ROLLING),
        (lambda: World(a_pool(hosts_named(4)), a_policy(canary={"bake": hours(60)})), as_it_is, Phase.BAKING),
    ],
    ids=[
        "paused",
        "no room in Azure",
        "no window is open",
        "people have time",
        "nobody needs to be asked yet",
        "baking",
    ],
)
def test_a_rollout_that_waits_as_planned_is_not_idle(
    world: Callable[[], World], prepare: Callable[[World], None], phase: Phase
) -> None:
    waiting = world()
    prepare(waiting)
    waiting.run_for(hours(48))

    assert waiting.state.phase is phase
    assert idle(waiting) < hours(3)


SATURDAYS = "FREQ=WEEKLY;BYDAY=SA"


def test_a_canary_that_bakes_for_longer_than_its_bake_is_idle() -> None:
    world = World(a_pool(hosts_named(4))).run(Phase.BAKING)
    for _ in range(10):
        world.change("avd-005", status="Unavailable")
        world.turn()
        world.change("avd-005", status="Available")
        world.run_for(minutes(25))

    assert world.state.phase is Phase.BAKING
    assert idle(world) > hours(3)


def test_nights_without_headway_add_up_over_the_days_between_them() -> None:
    world = stays(drain={"on_timeout": "wait"}, windows=(a_window("20:00", hours(10)),))
    world.run_for(hours(24))
    first = idle(world)
    world.run_for(hours(24))

    assert idle(world) > first > hours(1)


def test_an_app_that_was_stopped_for_days_has_not_been_at_work() -> None:
    world = World(a_pool(hosts_named(4, sessions=2))).run(Phase.ROLLING)
    before = idle(world)
    world.now += hours(72)
    world.turn()

    assert idle(world) <= before


def test_halting_ends_the_count() -> None:
    world = World(a_pool(hosts_named(4)))
    world.run(Phase.CANARY).run_for(minutes(10))
    assert idle(world) > minutes(5)
    world.image = None
    world.run(Phase.HALTED)

    assert idle(world) == timedelta()
