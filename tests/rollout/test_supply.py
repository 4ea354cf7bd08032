"""What a rollout does about replicas from one moment to the next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rollout.assignments import ReplicaOrder
from rollout.model import ImageVersion, RegionReplica
from rollout.policy import ReplicationPolicy
from rollout.replicas import Footprint
from rollout.steps import StepError
from rollout.supply import (
    PUT_BACK_ATTEMPTS,
    PUT_BACK_PAUSE,
    SupplyState,
    policy_of,
    prepare,
    put_back,
    record_put_back,
    record_raise,
)
from tests.rollout.builders import a_policy, version_id

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
VERSION = version_id("2.0.0")
MAY, MAY_NOT = ReplicationPolicy(raise_replicas=True), ReplicationPolicy()
BUSY = StepError("Conflict", "busy", retriable=True)
FORBIDDEN = StepError("AuthorizationFailed", "no write access", retriable=False)


def a_footprint(name: str = "office", **hosts: int) -> Footprint:
    return Footprint(a_policy(name=name, surge="100%", max_creating=200), hosts)


def a_version(**replicas: int) -> ImageVersion:
    regions = {region: RegionReplica("Completed", 100, count) for region, count in replicas.items()}
    return ImageVersion(VERSION, regions=regions)


def after_raising(**regions: int) -> SupplyState:
    """A rollout that has raised these regions from 2 to 10."""
    return SupplyState(before=regions, asked=dict.fromkeys(regions, 10))


def test_replicas_are_asked_for_where_too_few_are_and_only_if_nobody_changes_them_meanwhile() -> None:
    turn = prepare(SupplyState(), a_version(uksouth=2, eastus=9), [a_footprint(uksouth=100, eastus=100)], MAY)
    assert turn.order == ReplicaOrder(VERSION, {"uksouth": 5}, {"uksouth": 2})


def test_what_was_raised_is_told_with_its_reason_and_not_asked_for_again() -> None:
    pools, version = [a_footprint(uksouth=100)], a_version(uksouth=2)
    turn = prepare(SupplyState(), version, pools, MAY)
    assert turn.order is not None
    turn = record_raise(turn.state, turn.order, {"uksouth": 2})
    assert turn.story == ("uksouth gets 5 replicas instead of 2, because 100 VMs may be made at once",)

    # The version as it was read before.
    again = prepare(turn.state, version, pools, MAY)
    assert (again.order, again.story) == (None, ())
    assert policy_of(again.state, pools[0], MAY) is pools[0].pool


def test_a_pool_that_becomes_known_later_raises_them_further_and_the_first_number_is_put_back() -> None:
    first, second = a_footprint("first", uksouth=100), a_footprint("second", uksouth=60)
    turn = prepare(SupplyState(), a_version(uksouth=2), [first], MAY)
    assert turn.order is not None
    state = record_raise(turn.state, turn.order, {"uksouth": 2}).state
    turn = prepare(state, a_version(uksouth=5), [first, second], MAY)
    assert turn.order == ReplicaOrder(VERSION, {"uksouth": 8}, {"uksouth": 5})
    state = record_raise(turn.state, turn.order, {"uksouth": 5}).state

    assert put_back(state, VERSION, NOW).order == ReplicaOrder(VERSION, {"uksouth": 2}, {"uksouth": 8})


def test_what_azure_refuses_is_told_once_and_the_pool_makes_fewer_at_once() -> None:
    pools, version = [a_footprint(uksouth=100)], a_version(uksouth=2)
    turn = prepare(SupplyState(), version, pools, MAY)
    assert turn.order is not None
    turn = record_raise(turn.state, turn.order, FORBIDDEN)
    assert turn.story == ("the replicas cannot be raised: no write access",)

    turn = prepare(turn.state, version, pools, MAY)
    assert turn.order is None
    assert turn.story[0].endswith("5 are wanted; so fewer are made at once")
    assert prepare(turn.state, version, pools, MAY).story == ()
    assert policy_of(turn.state, pools[0], MAY).max_creating == 40


def test_a_region_that_somebody_else_changed_in_that_moment_is_left_to_them() -> None:
    turn = prepare(SupplyState(), a_version(uksouth=2), [a_footprint(uksouth=100)], MAY)
    assert turn.order is not None
    state = record_raise(turn.state, turn.order, {}).state

    assert state.before == {}
    assert prepare(state, a_version(uksouth=3), [a_footprint(uksouth=100)], MAY).order is None


def test_without_leave_nothing_is_asked_for() -> None:
    turn = prepare(SupplyState(), a_version(uksouth=2), [a_footprint(uksouth=100)], MAY_NOT)
    assert turn.order is None
    assert policy_of(turn.state, a_footprint(uksouth=100), MAY_NOT).max_creating == 40


def test_nothing_was_raised_so_nothing_is_put_back() -> None:
    assert put_back(SupplyState(), VERSION, NOW).order is None


def test_what_is_put_back_and_what_is_left_is_told() -> None:
    turn = record_put_back(after_raising(uksouth=2, eastus=1), {"uksouth": 10}, NOW)
    assert turn.state.before == {}
    assert turn.story == (
        "uksouth has 2 replicas again",
        "somebody has changed the replicas in eastus: they stay as they are",
    )


def test_a_busy_azure_is_asked_again_later() -> None:
    state = record_put_back(after_raising(uksouth=2), BUSY, NOW).state

    assert put_back(state, VERSION, NOW).order is None
    assert state.retry_at == NOW + PUT_BACK_PAUSE
    assert put_back(state, VERSION, NOW + PUT_BACK_PAUSE).order is not None


def test_azure_says_itself_how_long_to_wait() -> None:
    throttled = StepError("TooManyRequests", "slow down", retriable=True, retry_after=900)
    assert record_put_back(after_raising(uksouth=2), throttled, NOW).state.retry_at == NOW + timedelta(minutes=15)


@pytest.mark.parametrize(("error", "attempts"), [(BUSY, PUT_BACK_ATTEMPTS), (FORBIDDEN, 1)])
def test_what_azure_does_not_put_back_is_told_and_ends(error: StepError, attempts: int) -> None:
    state, told = after_raising(uksouth=2), list[str]()
    for _ in range(attempts):
        assert state.before
        turn = record_put_back(state, error, NOW)
        state, told = turn.state, [*told, *turn.story]

    assert state.before == {}
    assert told == [f"the replicas in uksouth stay raised, Azure does not put them back: {error.message}"]
