"""A pool that goes over to an image of the marketplace, through the whole app: no event tells of it, the sweep does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from demo.outcomes import hosts_are_current, pool_keeps_its_size
from demo.run import play
from demo.scenario import Outcome, Stage
from tests.scenarios.small import POLICY, small_rollout

VERSION = "contoso:hardened:win11:26100.10.1"


def marketplace_policy() -> str:
    """The small office's policy, with an image of the marketplace."""
    policy = yaml.safe_load(POLICY)
    publisher, offer, sku, _ = VERSION.split(":")
    policy["images"] = [{"name": "office", "marketplace": {"publisher": publisher, "offer": offer, "sku": sku}}]
    return yaml.safe_dump(policy, sort_keys=False)


@pytest.mark.parametrize("has_to_be_bought", [False, True])
async def test_every_host_is_replaced_by_one_of_the_marketplace(has_to_be_bought: bool) -> None:
    def set_the_stage(stage: Stage) -> None:
        stage.office(hosts=3, people=6)
        stage.estate.galleries.marketplace.publish(VERSION, plan=has_to_be_bought)
        stage.published.append(VERSION)

    scenario = replace(
        small_rollout(),
        policy=marketplace_policy(),
        set_the_stage=set_the_stage,
        outcome=Outcome("Succeeded", {"office": "Succeeded"}, checks=(hosts_are_current(3), pool_keeps_its_size)),
    )
    result = await play(scenario)

    assert (result.problems, result.violations) == ((), ())
    first = next(line for line in result.story if "in the marketplace of every region" in line.sentence)
    assert f"{first.at:%H:%M}" == "09:15"
    assert any("all 3 hosts are on 26100.10.1" in line.sentence for line in result.story)
