"""Azure has no room for a new host: what the rollout says, and what it does not waste meanwhile."""

from __future__ import annotations

from datetime import datetime

import pytest
from msgspec import structs

from rollout.capacity import in_plain_words
from rollout.model import ImageVersion, Phase, PoolSnapshot, RegionReplica
from rollout.pool import decide, record
from rollout.steps import ProvisionHost, StepError, StepOutcome
from tests.rollout.builders import MORNING, a_policy, a_pool, a_state, version_id

QUOTA = (
    "Operation could not be completed as it results in exceeding approved Total Regional Cores quota. Additional "
    "details - Deployment Model: Resource Manager, Location: uksouth, Current Limit: 48, Current Usage: 46, Additional "
    "Required: 4, (Minimum) New Limit Required: 50. Setup Alerts when Quota reaches threshold."
)
IN_SHORT = "the quota of Total Regional Cores in uksouth is 48, 46 are in use and 4 more are needed"


def test_a_quota_refusal_is_told_in_one_short_sentence_with_its_figures() -> None:
    assert in_plain_words(QUOTA) == IN_SHORT


def test_advice_and_links_of_azure_are_left_out() -> None:
    message = (
        "Allocation failed. We do not have sufficient capacity in this region. Read more about it at http://aka.ms/x"
    )
    assert in_plain_words(message) == "Allocation failed. We do not have sufficient capacity in this region."


def test_a_message_of_another_form_is_told_as_it_is() -> None:
    assert in_plain_words("No room") == "No room"


def test_attempts_without_quota_use_up_no_names_and_are_told_once() -> None:
    pool, policy, state, now = a_pool(), a_policy(), a_state(), MORNING
    names: list[str] = []
    story: list[str] = []
    for _ in range(40):
        decision = decide(state, structs.replace(pool, observed_at=now), policy, now)
        story += decision.story
        asked = [step for step in decision.steps if isinstance(step, ProvisionHost)]
        names += [step.host for step in asked]
        refusals = [StepOutcome(step, StepError("OperationNotAllowed", QUOTA)) for step in asked]
        state = record(decision.state, refusals, now)
        assert decision.wake_at is not None
        now = decision.wake_at
        pool = _with_fresh_heartbeats(pool, now)
    assert len(names) > 3
    assert set(names) == {"avd-013"}
    assert state.phase is Phase.WAITING_CAPACITY
    assert sum(IN_SHORT in sentence for sentence in story) == 1
    assert story[-1] == "trying again: provisioning the canary avd-013 on 2.0.0"


@pytest.mark.parametrize("code", ["AuthorizationFailed", "LinkedAuthorizationFailed"])
def test_a_host_that_is_refused_for_want_of_a_permission_is_put_off_and_nothing_is_drained(code: str) -> None:
    pool, policy, state = a_pool(), a_policy(), a_state()
    decision = decide(state, pool, policy, MORNING)
    refusals = [StepOutcome(step, StepError(code, "may not", retriable=False)) for step in decision.steps]

    next_turn = decide(record(decision.state, refusals, MORNING), pool, policy, MORNING)

    assert (next_turn.steps, next_turn.state.phase, next_turn.state.reason) == ((), Phase.WAITING_CAPACITY, code)
    assert next_turn.wake_at is not None


def test_a_version_whose_copy_failed_in_one_region_is_rolled_where_it_has_arrived() -> None:
    regions = {"westeurope": RegionReplica("Completed", 100), "northeurope": RegionReplica("Failed")}
    image = ImageVersion(id=version_id("2.0.0"), location="westeurope", provisioning="Failed", regions=regions)
    decision = decide(a_state(), structs.replace(a_pool(), image=image), a_policy(), MORNING)
    assert decision.phase is Phase.CANARY


def test_a_version_that_has_arrived_nowhere_is_refused() -> None:
    regions = {"westeurope": RegionReplica("Failed")}
    image = ImageVersion(id=version_id("2.0.0"), location="westeurope", provisioning="Failed", regions=regions)
    decision = decide(a_state(), structs.replace(a_pool(), image=image), a_policy(), MORNING)
    assert (decision.phase, decision.steps) == (Phase.REFUSED, ())


def _with_fresh_heartbeats(pool: PoolSnapshot, now: datetime) -> PoolSnapshot:
    hosts = tuple(structs.replace(host, last_heartbeat=now) for host in pool.hosts)
    return structs.replace(pool, hosts=hosts)


def test_a_prefix_without_free_numbers_is_said_in_the_phase_and_stops_nothing() -> None:
    taken = tuple(f"avd-production-{number}" for number in range(10))
    policy = a_policy(session_host=structs.replace(a_policy().session_host, name_prefix="avd-production-"))
    pool = structs.replace(a_pool(), names_in_use=taken)
    decision = decide(a_state(), pool, policy, MORNING)
    assert not [step for step in decision.steps if isinstance(step, ProvisionHost)]
    assert (decision.phase, decision.state.reason) == (Phase.WAITING_CAPACITY, "NamesExhausted")
    assert "Choose a shorter or another name_prefix" in decision.state.message
