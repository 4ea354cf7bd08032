"""What the policy says about a region that failed, is late, or is outside the approved geography."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollout.model import ImageVersion, Phase, RegionReplica
from rollout.overall import overall_phase
from rollout.policy import ReplicationPolicy
from rollout.replication import RegionDecision, assess, decide_regions
from tests.rollout.builders import version_id

STARTED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
VERSION = version_id("2.0.0")


def decide(hours: float = 1, provisioning: str = "Succeeded", policy: Any = None, **states: str) -> RegionDecision:
    """The decision so long after the start, under a deadline of six hours, for regions in these states."""
    replicas = {region: RegionReplica(state, 100 if state == "Completed" else 37) for region, state in states.items()}
    version = ImageVersion(VERSION, provisioning=provisioning, regions=replicas)
    replication = ReplicationPolicy(**(policy or {}))
    report = assess(version, states, STARTED, replication.deadline, STARTED + timedelta(hours=hours))
    return decide_regions(report, VERSION, replication)


def test_without_a_word_in_the_policy_the_rollout_goes_on_without_a_late_region() -> None:
    decision = decide(7, westeurope="Completed", northeurope="Replicating")

    assert [region for region, _ in decision.report.given_up] == ["northeurope"]
    assert decision.halted_because == ""


def test_a_late_region_is_waited_for_where_the_policy_waits() -> None:
    decision = decide(7, policy={"on_missing": "wait"}, westeurope="Completed", northeurope="Replicating")

    assert (decision.report.waiting, decision.report.given_up) == (("northeurope",), ())
    assert decision.report.message == (
        "version 2.0.0 is ready in 1 of 2 regions: northeurope is late: 37 % after 6 h, and the policy waits for it"
    )


def test_a_failed_region_may_still_be_mended_where_the_policy_waits() -> None:
    assert decide(policy={"on_missing": "wait"}, westeurope="Failed").report.waiting == ("westeurope",)


def test_a_failed_region_halts_the_rollout_where_the_policy_halts() -> None:
    decision = decide(policy={"on_missing": "halt"}, westeurope="Completed", northeurope="Failed")

    assert decision.halted_because == ("replication to northeurope failed, and the policy halts the rollout for it")


def test_a_region_that_still_has_time_halts_nothing() -> None:
    assert decide(policy={"on_missing": "halt"}, westeurope="Replicating").halted_because == ""


@pytest.mark.parametrize("written", ["northeurope", "North Europe"])
def test_single_regions_may_be_decided_otherwise(written: str) -> None:
    policy = {"on_missing": "halt", "on_missing_in": {written: "go_on"}}
    decision = decide(7, policy=policy, westeurope="Completed", northeurope="Replicating")

    assert decision.halted_because == ""
    assert [region for region, _ in decision.report.given_up] == ["northeurope"]


def test_a_region_outside_the_approved_ones_is_given_up_at_once_even_when_the_version_is_there() -> None:
    decision = decide(policy={"approved_regions": ("West Europe",)}, westeurope="Completed", eastus="Completed")

    assert decision.report.ready == ("westeurope",)
    assert decision.report.given_up == (("eastus", "eastus is none of the approved regions"),)
    assert "ready in 1 of 2 regions" in decision.report.message


def test_an_unapproved_region_halts_the_rollout_where_the_policy_halts() -> None:
    policy = {"approved_regions": ("westeurope",), "on_missing_in": {"eastus": "halt"}}
    assert "eastus is none of the approved regions" in decide(policy=policy, eastus="Completed").halted_because


def test_approved_regions_that_are_ready_are_ready() -> None:
    decision = decide(policy={"approved_regions": ("westeurope",), "on_missing": "halt"}, westeurope="Completed")
    assert (decision.report.ready, decision.halted_because) == (("westeurope",), "")


def test_a_version_that_no_longer_exists_is_not_waited_for() -> None:
    decision = decide(provisioning="Deleting", policy={"on_missing": "wait"}, westeurope="Completed")

    assert decision.report.version_gone
    assert decision.report.waiting == ()


def test_a_rollout_that_halts_for_a_region_has_halted_whatever_became_of_its_pools() -> None:
    assert overall_phase([Phase.SUCCEEDED, Phase.FAILED], halted=True) is Phase.HALTED
