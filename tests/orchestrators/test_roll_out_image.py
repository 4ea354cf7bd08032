"""A rollout as a whole: each pool starts when its region is ready, and the end says what became of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from rollout.assignments import ImageRollout
from rollout.model import Phase
from rollout.policy import ImagePolicy, ReplicationPolicy, hours
from tests.orchestrators.stage import START, Crash, Later, Play, Played, gaps
from tests.rollout.builders import POOL_ID, a_policy, version_id

VERSION = version_id("2.0.0")
INSTANCE = "image-desktops-office-2.0.0-abc123"
GONE = {"error": {"code": "ResourceNotFound", "message": "no such pool", "retriable": False}}
THROTTLED = {"error": {"code": "TooManyRequests", "message": "slow down"}}


def a_rollout(*pools: str, deadline: timedelta = timedelta(hours=6), regions: tuple[str, ...] = ()) -> Any:
    image = ImagePolicy(
        name="office",
        definition_id=VERSION.rpartition("/versions/")[0],
        replication=ReplicationPolicy(deadline=deadline, regions=regions),
    )
    policies = tuple(a_policy(name=name, host_pool_id=f"{POOL_ID}-{name}") for name in pools)
    return msgspec.to_builtins(ImageRollout(VERSION, image, policies))


def version(**regions: str) -> Any:
    """An image version whose copies are in these states."""
    return {"version": {"id": VERSION, "regions": {name: {"state": state} for name, state in regions.items()}}}


def ended(phase: Phase, after: timedelta = timedelta(0)) -> Callable[[Any], Any]:
    """A pool's rollout that ends like this."""

    def roll(given: Any) -> Any:
        pool = given["policy"]["name"]
        return Later(after, {"pool": pool, "version": "2.0.0", "phase": phase, "message": f"{pool} {phase}"})

    return roll


def play(rollout: Any, *, looks: Any, regions: Any = None, pools: Any = None) -> Played:
    """Play a rollout. `looks` answers read_image_version by the time since the start, or is one answer for always."""
    stage = Play("roll_out_image", {}, INSTANCE)
    answer = looks if callable(looks) else lambda _: looks
    stage._answers.update(
        {
            "read_image_version": lambda _: answer(stage.now - START),
            "read_pool_regions": regions or (lambda _: {"regions": ["westeurope"]}),
            "roll_host_pool": pools or ended(Phase.SUCCEEDED),
        }
    )
    return stage.play(rollout)


def test_every_pool_is_rolled_and_the_end_says_so() -> None:
    played = play(a_rollout("one", "two"), looks=version(westeurope="Completed"))

    assert played.output["phase"] == Phase.SUCCEEDED
    assert [pool["pool"] for pool in played.output["pools"]] == ["one", "two"]
    assert played.output["message"] == "2 host pools: 2 Succeeded"
    assert [given["id"] for given in played.called("roll_host_pool")] == [f"{INSTANCE}:one", f"{INSTANCE}:two"]
    assert {given["version_id"] for given in played.called("roll_host_pool")} == {VERSION}


def test_a_pool_starts_as_soon_as_its_own_region_is_ready() -> None:
    def looks(since: timedelta) -> Any:
        late = "Completed" if since > timedelta(hours=2) else "Replicating"
        return version(westeurope="Completed", northeurope=late)

    played = play(
        a_rollout("west", "north"),
        looks=looks,
        regions=lambda id: {"regions": ["westeurope" if id.endswith("west") else "northeurope"]},
        pools=ended(Phase.SUCCEEDED, after=timedelta(hours=1)),
    )

    starts = {given["policy"]["name"]: at - START for at, name, given in played.calls if name == "roll_host_pool"}
    assert starts["west"] < timedelta(minutes=1)
    assert timedelta(hours=2) < starts["north"] < timedelta(hours=2, minutes=30)
    assert played.output["phase"] == Phase.SUCCEEDED


def test_a_pool_in_two_regions_waits_for_both() -> None:
    played = play(
        a_rollout("wide"),
        looks=lambda since: version(
            westeurope="Completed", northeurope="Completed" if since > hours(1) else "Replicating"
        ),
        regions=lambda _: {"regions": ["westeurope", "northeurope"]},
    )

    ((start, _, _),) = [call for call in played.calls if call[1] == "roll_host_pool"]
    assert start - START > hours(1)


def test_a_region_that_failed_fails_its_pool_and_no_other() -> None:
    played = play(
        a_rollout("west", "north"),
        looks=version(westeurope="Completed", northeurope="Failed"),
        regions=lambda id: {"regions": ["westeurope" if id.endswith("west") else "northeurope"]},
    )

    phases = {pool["pool"]: (pool["phase"], pool.get("reason", "")) for pool in played.output["pools"]}
    assert phases == {"west": (Phase.SUCCEEDED, ""), "north": (Phase.FAILED, "NotReplicated")}
    assert played.output["phase"] == Phase.FAILED
    assert len(played.called("roll_host_pool")) == 1


def test_replication_is_waited_for_until_the_deadline() -> None:
    played = play(a_rollout("one", deadline=hours(6)), looks=version(westeurope="Replicating"))

    assert played.output["pools"][0]["reason"] == "NotReplicated"
    assert hours(6) <= played.ended_at - START < hours(7)


def test_waiting_takes_few_looks_that_grow_apart() -> None:
    played = play(a_rollout("one", deadline=hours(24)), looks=version(westeurope="Replicating"))

    looks = [at for at, name, _ in played.calls if name == "read_image_version"]
    assert len(looks) < 90
    assert played.longest_history < 800
    assert min(gaps(looks)) >= timedelta(minutes=1)
    assert max(gaps(looks)) <= timedelta(minutes=31)


def test_a_version_that_is_deleted_meanwhile_ends_the_waiting() -> None:
    played = play(
        a_rollout("one"),
        looks=lambda since: {"version": None} if since > hours(1) else version(westeurope="Replicating"),
    )

    assert played.output["pools"][0]["reason"] == "ImageVersionGone"
    assert played.output["phase"] == Phase.FAILED


def test_a_version_that_cannot_be_read_is_read_again() -> None:
    played = play(
        a_rollout("one"),
        looks=lambda since: THROTTLED if since < timedelta(minutes=30) else version(westeurope="Completed"),
    )

    assert played.output["phase"] == Phase.SUCCEEDED
    assert any("cannot be read" in status["message"] for status in played.statuses)


def test_a_version_that_can_never_be_read_is_given_up_at_the_deadline() -> None:
    played = play(a_rollout("one", deadline=hours(2), regions=("northeurope",)), looks=THROTTLED)

    assert played.output["pools"][0]["reason"] == "NotReadable"
    assert played.ended_at - START < hours(3)


def test_a_pool_that_is_gone_is_left_to_its_own_rollout() -> None:
    played = play(
        a_rollout("one"),
        looks=version(westeurope="Completed"),
        regions=lambda _: GONE,
        pools=ended(Phase.FAILED),
    )

    assert len(played.called("roll_host_pool")) == 1
    assert played.output["phase"] == Phase.FAILED


def test_a_pool_that_cannot_be_read_holds_no_other_pool_up() -> None:
    seen: list[str] = []

    def regions(id: str) -> Any:
        seen.append(id)
        return THROTTLED if id.endswith("two") and len(seen) < 6 else {"regions": ["westeurope"]}

    played = play(a_rollout("one", "two"), looks=version(westeurope="Completed"), regions=regions)

    starts = {given["policy"]["name"]: at - START for at, name, given in played.calls if name == "roll_host_pool"}
    assert starts["one"] < timedelta(minutes=1) < starts["two"]
    assert played.output["phase"] == Phase.SUCCEEDED


def test_a_pools_orchestration_that_dies_fails_that_pool_only() -> None:
    def pools(given: Any) -> Any:
        if given["policy"]["name"] == "one":
            return Later(timedelta(minutes=5), Crash("out of memory"))
        return ended(Phase.SUCCEEDED, after=hours(1))(given)

    played = play(a_rollout("one", "two"), looks=version(westeurope="Completed"), pools=pools)

    one, two = played.output["pools"]
    assert (one["phase"], one["reason"]) == (Phase.FAILED, "OrchestrationFailed")
    assert "out of memory" in one["message"]
    assert "stack" not in one["message"]
    assert two["phase"] == Phase.SUCCEEDED


def test_pools_that_end_in_the_same_moment_are_all_counted() -> None:
    played = play(
        a_rollout("one", "two", "three"),
        looks=version(westeurope="Completed"),
        pools=ended(Phase.SUCCEEDED, after=hours(1)),
    )

    assert played.output["message"] == "3 host pools: 3 Succeeded"


def test_a_region_of_the_policy_without_a_pool_is_waited_for_too() -> None:
    played = play(
        a_rollout("one", regions=("North Europe",)),
        looks=lambda since: version(
            westeurope="Completed", northeurope="Completed" if since > hours(3) else "Replicating"
        ),
    )

    assert played.output["phase"] == Phase.SUCCEEDED
    assert played.ended_at - START > hours(3)


def test_a_region_of_the_policy_that_is_missed_is_no_full_success() -> None:
    played = play(
        a_rollout("one", regions=("northeurope",)),
        looks=version(westeurope="Completed", northeurope="Failed"),
    )

    assert played.output["phase"] == Phase.SUCCEEDED_WITH_SKIPS


def test_the_status_tells_where_each_pool_stands() -> None:
    played = play(
        a_rollout("west", "north"),
        looks=lambda since: version(
            westeurope="Completed", northeurope="Completed" if since > hours(2) else "Replicating"
        ),
        regions=lambda id: {"regions": ["westeurope" if id.endswith("west") else "northeurope"]},
        pools=ended(Phase.SUCCEEDED, after=hours(1)),
    )

    told = [status for status in played.statuses if status]
    assert {"west": Phase.ROLLING, "north": Phase.WAITING_REPLICATION} in [status["pools"] for status in told]
    assert {"west": Phase.SUCCEEDED, "north": Phase.ROLLING} in [status["pools"] for status in told]
    assert any("northeurope" in status["message"] for status in told)
    assert told[-1]["phase"] == Phase.SUCCEEDED


@pytest.mark.parametrize("pools", [1, 20])
def test_the_status_of_many_pools_fits_into_what_durable_keeps(pools: int) -> None:
    played = play(a_rollout(*[f"pool-{n:036}" for n in range(pools)]), looks=version(westeurope="Completed"))

    assert all(2 * len(msgspec.json.encode(status)) < 16_000 for status in played.statuses)
