"""The pool is to end as large as it was, also when hosts were skipped after their successors had been made."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.model import Phase
from rollout.pool import decide
from rollout.steps import StartDraining
from rollout.turn import GRACE_ENDED
from tests.rollout.builders import MORNING, NEXT, a_host, a_policy, a_pool, a_rolling_state, hosts_named


def test_a_skipped_host_that_has_emptied_is_shed_rather_than_one_on_the_new_version() -> None:
    pool = a_pool([*hosts_named(3, version=NEXT), a_host("avd-010", sessions=2), a_host("avd-011")])
    skipped = {"avd-010": GRACE_ENDED, "avd-011": GRACE_ENDED}
    state = a_rolling_state(pool, desired=4, skipped=skipped)
    decision = decide(state, pool, a_policy(), MORNING)
    assert [step.host for step in decision.steps if isinstance(step, StartDraining)] == ["avd-011"]
    assert decision.state.skipped == {"avd-010": GRACE_ENDED}


def test_a_host_on_the_new_version_is_shed_when_people_are_on_every_skipped_one() -> None:
    pool = a_pool([*hosts_named(3, version=NEXT), a_host("avd-010", sessions=2), a_host("avd-011", sessions=1)])
    skipped = {"avd-010": GRACE_ENDED, "avd-011": GRACE_ENDED}
    state = a_rolling_state(pool, desired=4, skipped=skipped)
    decision = decide(state, pool, a_policy(), MORNING)
    assert [step.host for step in decision.steps if isinstance(step, StartDraining)] == ["avd-001"]
    assert decision.state.skipped == skipped


def test_the_host_that_is_shed_is_one_of_a_zone_that_has_more_than_before() -> None:
    hosts = [*hosts_named(2, version=NEXT, zone="1"), *hosts_named(3, first=3, version=NEXT, zone="2", sessions=1)]
    state = a_rolling_state(a_pool(hosts), desired=4, zones={"1": 2, "2": 2})
    decision = decide(state, a_pool(hosts), a_policy(), MORNING)
    assert [step.host for step in decision.steps if isinstance(step, StartDraining)] == ["avd-003"]
    assert any(sentence.startswith("the pool has more hosts than before") for sentence in decision.story)


@pytest.mark.parametrize("zones", [{"1": 1, "2": 2}, {"1": 2, "2": 2}], ids=["a zone has one more", "no zone has more"])
@pytest.mark.parametrize("kept", [{"drained": True}, {"powered_off": True}], ids=["drained", "switched off"])
def test_a_host_that_somebody_drained_or_switched_off_is_not_shed_though_it_is_the_emptiest(
    zones: dict[str, int], kept: dict[str, Any]
) -> None:
    hosts = [
        a_host("avd-001", NEXT, zone="1", sessions=1),
        a_host("avd-002", NEXT, zone="1", **kept),
        *hosts_named(2, first=3, version=NEXT, zone="2", sessions=2),
    ]
    state = a_rolling_state(a_pool(hosts), desired=3, zones=zones)
    decision = decide(state, a_pool(hosts), a_policy(), MORNING)
    assert [step.host for step in decision.steps if isinstance(step, StartDraining)] == ["avd-001"]


def test_a_host_skipped_because_its_steps_kept_failing_is_left_alone_although_it_is_empty() -> None:
    pool = a_pool([*hosts_named(3, version=NEXT), a_host("avd-010")])
    state = a_rolling_state(pool, desired=4, skipped={"avd-010": "RemovalKeepsFailing"})
    assert decide(state, pool, a_policy(), MORNING).phase is Phase.SUCCEEDED_WITH_SKIPS
