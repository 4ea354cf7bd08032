"""A whole rollout of a pool: how it begins, what it refuses, how it ends, and what every decision has in common."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from rollout.model import ImageVersion, Phase, RolloutState, SessionProgress
from rollout.policy import hours, minutes
from rollout.pool import decide, decide_unreadable, start
from rollout.steps import ProvisionHost, RemoveHost, SignOutSessions, StartDraining, StepError, StopDraining
from tests.rollout.builders import (
    MORNING,
    NEXT,
    POOL_ID,
    ROLLOUT,
    SHAPE,
    a_drain,
    a_host,
    a_policy,
    a_pool,
    a_rolling_state,
    a_state,
    hosts_named,
    version_id,
)
from tests.rollout.world import World

STRATEGIES = pytest.mark.parametrize("strategy", ["surge", "in_place"])


# ------------------------------------------------------------------------------------------------------- to the end


@STRATEGIES
def test_every_host_is_replaced_and_everybody_keeps_working(strategy: str) -> None:
    world = World(a_pool(hosts_named(12, sessions=3)), a_policy(strategy=strategy)).run()

    assert world.state.phase is Phase.SUCCEEDED
    assert world.state.message == "all 12 hosts are on 2.0.0"
    assert world.versions() == {NEXT: 12}
    assert sum(world.people().values()) == 36
    assert not world.forced
    assert world.refused_sign_ins == 0
    assert world.nothing_is_left_over()


def test_a_surge_provisions_before_it_removes_and_in_place_removes_before_it_provisions() -> None:
    def kinds(strategy: str) -> list[type]:
        world = World(a_pool(hosts_named(3)), a_policy(strategy=strategy)).run()
        return [type(step) for _, step in world.done_steps if isinstance(step, ProvisionHost | RemoveHost)]

    assert kinds("surge")[:2] == [ProvisionHost, RemoveHost]
    assert kinds("in_place")[:2] == [RemoveHost, ProvisionHost]


@STRATEGIES
@pytest.mark.parametrize("size", [1, 2])
def test_a_pool_of_one_or_two_hosts_is_rolled_over(strategy: str, size: int) -> None:
    policy = a_policy(strategy=strategy, reserve=0 if strategy == "in_place" else 15)
    world = World(a_pool(hosts_named(size)), policy).run()

    assert world.state.phase is Phase.SUCCEEDED
    assert world.versions() == {NEXT: size}


def test_the_only_host_of_a_pool_is_not_taken_away_in_place_while_people_are_on_it() -> None:
    world = World(a_pool([a_host(sessions=3)]), a_policy(strategy="in_place", reserve=0)).run_for(hours(3))

    assert not world.steps(StartDraining)
    assert world.state.phase is Phase.WAITING_CAPACITY
    assert world.state.reason == "ReserveTooSmall"
    assert world.state.message.startswith("draining avd-001 with its 3 sessions would leave")

    for session in world.hosts["avd-001"].sessions:
        world.sign_out("avd-001", session.id)
    assert world.run().versions() == {NEXT: 1}


def test_a_pool_that_is_current_already_succeeds_at_once() -> None:
    decision = decide(a_state(), a_pool(outdated=0, current=12), a_policy(), MORNING)

    assert decision.done
    assert decision.phase is Phase.SUCCEEDED
    assert not decision.steps


def test_a_host_on_a_newer_version_is_not_outdated() -> None:
    world = World(a_pool([*hosts_named(3), a_host("avd-004", "3.0.0")])).run()

    assert world.versions() == {NEXT: 3, "3.0.0": 1}


def test_hosts_of_another_image_or_of_an_unreadable_one_are_outdated() -> None:
    foreign = a_host("avd-001", image_version_id="/subscriptions/s1/resourceGroups/r/providers/M/images/custom")
    world = World(a_pool([foreign, a_host("avd-002", image_version_id="")])).run()

    assert world.versions() == {NEXT: 2}


def test_names_go_upwards_and_none_comes_back() -> None:
    world = World(a_pool([a_host("avd-004"), a_host("avd-007"), a_host("avd-x1")])).run()

    assert sorted(world.hosts) == ["avd-008", "avd-009", "avd-010"]


def test_in_place_the_name_of_the_host_just_removed_does_not_come_back() -> None:
    hosts = [a_host("avd-001", sessions=3), a_host("avd-002", sessions=3), a_host("avd-003")]
    world = World(a_pool(hosts), a_policy(strategy="in_place")).run()

    assert sorted(world.hosts) == ["avd-004", "avd-005", "avd-006"]


@STRATEGIES
def test_zones_are_balanced_as_before(strategy: str) -> None:
    hosts = [a_host(f"avd-{n:03}", sessions=n % 4, zone=str(n % 3 + 1)) for n in range(1, 12)]
    world = World(a_pool(hosts), a_policy(strategy=strategy, surge=2))
    before = world.zones()

    assert world.run().zones() == before


def test_hosts_without_a_zone_are_replaced_by_hosts_without_a_zone() -> None:
    hosts = [*hosts_named(4), *hosts_named(2, first=5, zone="1")]
    world = World(a_pool(hosts)).run()

    assert world.zones() == {"": 4, "1": 2}


def test_a_replacement_takes_over_the_shape_of_the_host_that_it_replaces() -> None:
    large = structs.replace(SHAPE, vm_size="Standard_D16s_v5")
    hosts = [a_host("avd-001", shape=large), a_host("avd-002", sessions=1), a_host("avd-003", sessions=2, shape=large)]
    world = World(a_pool(hosts)).run()

    assert sorted(host.shape.vm_size for host in world.hosts.values()) == [
        "Standard_D16s_v5",
        "Standard_D16s_v5",
        "Standard_D8s_v5",
    ]


def test_a_policy_may_ask_for_more_canaries_than_there_are_hosts() -> None:
    for strategy in ("surge", "in_place"):
        policy = a_policy(strategy=strategy, canary={"hosts": 5}, reserve=0)
        assert World(a_pool(hosts_named(2)), policy).run().versions() == {NEXT: 2}


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        ({"pool_type": "Personal"}, "NotPooled"),
        ({"pool_type": "BYODesktop"}, "NotPooled"),
        ({"pool_type": "SomethingNew"}, "NotPooled"),
        ({"pool_type": ""}, "NotPooled"),
        ({"management_type": "Automated"}, "ManagedByAzure"),
        ({"management_type": "SomethingNew"}, "ManagedByAzure"),
        ({"session_limit": 0}, "NoSessionLimit"),
        ({"target": None}, "ImageVersionGone"),
        ({"outdated": 0}, "NoSessionHosts"),
    ],
)
def test_a_pool_that_cannot_be_rolled_is_refused_and_not_touched(pool: dict[str, Any], reason: str) -> None:
    decision = decide(a_state(), a_pool(**pool), a_policy(), MORNING)

    assert (decision.phase, decision.state.reason) == (Phase.REFUSED, reason)
    assert decision.done
    assert not decision.steps
    assert decision.state.message


@pytest.mark.parametrize("provisioning", ["Failed", "Deleting"])
def test_a_version_that_was_not_built_is_refused(provisioning: str) -> None:
    image = ImageVersion(id=version_id(NEXT), provisioning=provisioning)
    decision = decide(a_state(), structs.replace(a_pool(), image=image), a_policy(), MORNING)

    assert (decision.phase, decision.state.reason) == (Phase.REFUSED, "ImageVersionUnusable")
    assert not decision.steps


def test_a_target_that_is_no_gallery_version_is_refused() -> None:
    state = start(ROLLOUT, POOL_ID, "latest", MORNING)

    assert decide(state, a_pool(), a_policy(), MORNING).state.reason == "ImageVersionGone"


def test_a_pool_of_ghost_registrations_is_refused() -> None:
    pool = a_pool([a_host("avd-001", vm_id="", provisioning="", power="")])

    assert decide(a_state(), pool, a_policy(), MORNING).state.reason == "NoSessionHosts"


# ------------------------------------------------------------------------------------------------------- unreadable


BUSY = StepError("503", "the service is busy")


def test_a_pool_that_cannot_be_read_is_looked_at_again_later_each_time() -> None:
    state, pauses = a_state(), []
    for _ in range(7):
        decision = decide_unreadable(state, BUSY, MORNING)
        assert decision.wake_at is not None
        assert not decision.steps
        pauses.append((decision.wake_at - MORNING).total_seconds())
        state = decision.state

    assert pauses == [30, 60, 120, 240, 480, 600, 600]


def test_a_pool_that_cannot_be_read_is_left_alone_for_as_long_as_azure_asks() -> None:
    throttled = StepError("429", "too many requests", retry_after=1800)

    assert decide_unreadable(a_state(), throttled, MORNING).wake_at == MORNING + minutes(30)


def test_only_the_first_unreadable_turn_is_told() -> None:
    first = decide_unreadable(a_state(), BUSY, MORNING)
    second = decide_unreadable(first.state, BUSY, MORNING)

    assert first.story == ("the host pool cannot be read (503): the service is busy",)
    assert second.story == ()
    assert second.state.message == first.state.message


def test_once_the_pool_can_be_read_again_the_pauses_begin_anew() -> None:
    state = decide_unreadable(decide_unreadable(a_state(), BUSY, MORNING).state, BUSY, MORNING).state
    state = decide(state, a_pool(), a_policy(), MORNING).state

    assert decide_unreadable(state, BUSY, MORNING).wake_at == MORNING + minutes(0.5)


@pytest.mark.parametrize("code", ["404", "ResourceNotFound", "ResourceGroupNotFound"])
def test_a_pool_that_is_deleted_ends_the_rollout(code: str) -> None:
    state = a_rolling_state(a_pool(), {"avd-001": a_drain()})
    decision = decide_unreadable(state, StepError(code, "was not found"), MORNING)

    assert decision.done
    assert decision.wake_at is None
    assert (decision.phase, decision.state.reason) == (Phase.FAILED, "HostPoolGone")
    assert not decision.state.in_hand


def test_why_a_rollout_halted_is_still_said_after_the_pool_could_not_be_read() -> None:
    world = World(a_pool(hosts_named(3)))
    world.turn()
    world.image = None
    world.turn()
    said = world.state.message
    world.state = decide_unreadable(world.state, BUSY, world.now).state

    assert said == "image version 2.0.0 no longer exists"
    assert world.run().state.message.startswith(said)


# --------------------------------------------------------------------------------------------------- every decision


def test_the_same_situation_is_decided_alike_and_leaves_its_arguments_as_they_were() -> None:
    world = World(a_pool(hosts_named(8, sessions=2)), a_policy(surge=2)).run(lambda world: len(world.state.in_hand) > 1)
    state, snapshot = world.state, world.observe()
    before = msgspec.json.encode((state, snapshot))
    decisions = [decide(state, snapshot, world.policy, world.now) for _ in range(3)]

    assert decisions[0] == decisions[1] == decisions[2]
    assert msgspec.json.encode((state, snapshot)) == before


def test_what_azure_may_show_never_raises() -> None:
    odd = [
        a_host("avd-001", status="Hibernating", power="", provisioning="", last_heartbeat=None),
        a_host("avd-002", image_version_id="", zone="", shape=structs.replace(SHAPE, location="")),
        a_host("avd-003", sessions=1, session_count=99),
        a_host("avd-004", vm_id=""),
        a_host("avd-005", registration="", held_by=ROLLOUT),
        a_host("avd-006", registration="", held_by="rollout-of-old"),
        a_host("avd-007", extensions={"goldroll-agent": "Canceled"}, power="hibernated"),
        a_host("avd-008", assigned_user="somebody"),
    ]
    world = World(a_pool([*odd, *hosts_named(7, first=9)]), a_policy(health={"max_unhealthy_percent": 100}))

    world.run_for(hours(2))
    assert world.state.desired == 12, "the registration without a VM and the VMs without a registration do not count"


@STRATEGIES
def test_a_rollout_may_be_put_down_and_taken_up_at_any_turn(strategy: str) -> None:
    """The world of these tests does so at every turn, through JSON; here what is remembered stays small as well."""
    world = World(a_pool(hosts_named(20, sessions=2)), a_policy(strategy=strategy, surge=3, max_unavailable=3))
    largest = 0
    while not world.turn().done:
        largest = max(largest, len(msgspec.json.encode(world.state)))

    assert largest < 8_000


def test_a_thousand_hosts_with_a_quarter_in_hand_are_remembered_in_less_than_half_a_megabyte() -> None:
    people = {f"{n}": SessionProgress(deadline=MORNING + hours(8), notices=3) for n in range(1, 11)}
    names = [f"avd-{n:04}" for n in range(1, 251)]
    in_hand = {name: structs.replace(a_drain(zone="1"), sessions=people) for name in names}
    state = a_rolling_state(a_pool(outdated=1000), in_hand)
    encoded = msgspec.json.encode(state)

    assert len(encoded) < 512_000
    assert msgspec.json.decode(encoded, type=RolloutState) == state


def test_shapes_that_no_host_in_hand_needs_any_more_are_forgotten() -> None:
    hosts = [a_host(f"avd-{n:03}", shape=structs.replace(SHAPE, tags={"desk": str(n)})) for n in range(1, 11)]
    world = World(a_pool(hosts))
    most = 0
    while not world.turn().done:
        most = max(most, len(world.state.shapes))

    assert sorted(host.shape.tags["desk"] for host in world.hosts.values()) == sorted(str(n) for n in range(1, 11))
    assert most <= 4


def test_a_decision_on_a_thousand_hosts_takes_a_moment_not_a_minute() -> None:
    """A guard against quadratic work: 1,000 hosts, 50 of them steered and 20 made at once."""
    policy = a_policy(surge="5%")
    decision = decide(a_rolling_state(a_pool(outdated=1000)), a_pool(outdated=1000), policy, MORNING)

    assert len([step for step in decision.steps if isinstance(step, ProvisionHost)]) == 20
    assert len([step for step in decision.steps if isinstance(step, StartDraining)]) == 50


# ------------------------------------------------------------------------------------------------- crashes and losses


@STRATEGIES
@pytest.mark.parametrize("kind", [ProvisionHost, StartDraining, StopDraining, RemoveHost, SignOutSessions])
def test_a_step_whose_answer_is_lost_is_not_done_twice_to_harm(strategy: str, kind: type) -> None:
    world = World(a_pool([a_host("avd-001"), *hosts_named(3, first=2, sessions=2)]), a_policy(strategy=strategy))
    world.leave_after = None
    world.refuse(kind, StepError("ConnectionLost", "no answer"), times=5, after_doing_it=True)
    world.run()

    assert world.state.phase is Phase.SUCCEEDED
    assert world.versions() == {NEXT: 4}
    assert max(world.people().values()) == 1


@STRATEGIES
def test_a_turn_that_is_carried_out_twice_because_its_memory_was_lost_does_no_harm(strategy: str) -> None:
    world = World(a_pool(hosts_named(4, sessions=2)), a_policy(strategy=strategy))
    for turn in range(400):
        state, now = world.state, world.now
        if world.turn().done:
            break
        if turn % 3 == 0:
            world.state, world.now = state, now + minutes(1)

    assert world.state.phase is Phase.SUCCEEDED
    assert world.versions() == {NEXT: 4}
