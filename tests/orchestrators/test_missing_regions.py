"""A rollout whose version does not reach every region, as the policy decides for each of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from rollout.assignments import ImageRollout
from rollout.model import Phase
from rollout.policy import ImagePolicy, ReplicationPolicy, hours
from tests.orchestrators.stage import START
from tests.orchestrators.test_roll_out_image import VERSION, ended, play, version
from tests.rollout.builders import POOL_ID, a_policy


def a_rollout(*pools: str, **replication: Any) -> Any:
    """Pools named after their regions."""
    image = ImagePolicy(
        name="office",
        definition_id=VERSION.rpartition("/versions/")[0],
        replication=ReplicationPolicy(deadline=hours(3), **replication),
    )
    policies = tuple(a_policy(name=name, host_pool_id=f"{POOL_ID}-{name}") for name in pools)
    return msgspec.to_builtins(ImageRollout(VERSION, image, policies))


def regions(pool_id: str) -> Any:
    return {"regions": [pool_id.rpartition("-")[2]]}


def phases(played: Any) -> dict[str, tuple[str, str]]:
    return {pool["pool"]: (pool["phase"], pool.get("reason", "")) for pool in played.output["pools"]}


def test_a_late_region_is_waited_for_long_after_the_deadline() -> None:
    def looks(since: timedelta) -> Any:
        late = "Completed" if since > timedelta(days=5) else "Replicating"
        return version(westeurope="Completed", northeurope=late)

    played = play(
        a_rollout("westeurope", "northeurope", on_missing_in={"northeurope": "wait"}), looks=looks, regions=regions
    )

    starts = {given["policy"]["name"]: at - START for at, name, given in played.calls if name == "roll_host_pool"}
    assert starts["westeurope"] < hours(1)
    assert timedelta(days=5) < starts["northeurope"] < timedelta(days=5, hours=3)
    assert played.output["phase"] == Phase.SUCCEEDED
    assert played.longest_history < 800


def test_a_region_that_must_not_be_missing_halts_what_has_not_begun_and_lets_the_rest_finish() -> None:
    played = play(
        a_rollout("westeurope", "northeurope", "uksouth", on_missing="halt"),
        looks=lambda since: version(
            westeurope="Completed", uksouth="Replicating", northeurope="Failed" if since > hours(1) else "Replicating"
        ),
        regions=regions,
        pools=ended(Phase.SUCCEEDED, after=hours(4)),
    )

    assert phases(played) == {
        "westeurope": (Phase.SUCCEEDED, ""),
        "northeurope": (Phase.HALTED, "RegionMissing"),
        "uksouth": (Phase.HALTED, "RegionMissing"),
    }
    assert played.output["phase"] == Phase.HALTED
    assert "the policy halts the rollout for it" in played.output["pools"][2]["message"]


def test_a_region_of_the_policy_alone_may_halt_the_rollout() -> None:
    played = play(
        a_rollout("westeurope", regions=("japaneast",), on_missing_in={"japaneast": "halt"}),
        looks=version(westeurope="Completed", japaneast="Replicating"),
        regions=regions,
        pools=ended(Phase.SUCCEEDED, after=hours(1)),
    )

    assert phases(played) == {"westeurope": (Phase.SUCCEEDED, "")}
    assert played.output["phase"] == Phase.HALTED


def test_a_pool_outside_the_approved_regions_is_not_rolled() -> None:
    played = play(
        a_rollout("westeurope", "eastus", approved_regions=("westeurope",)),
        looks=version(westeurope="Completed", eastus="Completed"),
        regions=regions,
    )

    assert phases(played) == {"westeurope": (Phase.SUCCEEDED, ""), "eastus": (Phase.FAILED, "NotReplicated")}
    assert len(played.called("roll_host_pool")) == 1
