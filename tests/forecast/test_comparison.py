"""Two plans are compared, and a rollout with its plan."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from forecast.comparison import compare
from forecast.plan import Limits, PoolPlan, RolloutPlan, plan_pool
from forecast.runs import PoolForecast, Range
from rollout.expected import Expected, compared
from rollout.fitness import finding
from rollout.model import Phase
from rollout.policy import hours
from rollout.status import PoolStatus
from tests.rollout.builders import MORNING, NEXT, a_host, a_policy, a_pool, hosts_named, version_id

A_FORECAST = PoolForecast(
    runs=20,
    of_hosts=3,
    ends={"Succeeded": 20},
    duration=Range(3600 * 10, 3600 * 12),
    forced_sign_outs=Range(10, 20),
    twice=Range(0, 0),
    refused_sign_ins=Range(0, 0),
    peak_hosts=4,
    canary_passes=3600,
    waves=(),
    replaced_after={},
    assumptions=(),
)


def a_plan(hosts: list[Any], version: str = NEXT, forecast: PoolForecast | None = None, **policy: Any) -> RolloutPlan:
    pool = structs.replace(
        plan_pool(a_pool(hosts), a_policy(**policy), version_id(version), "", MORNING), forecast=forecast
    )
    return RolloutPlan("office", version, MORNING, "", (), (pool,))


def test_two_plans_that_say_the_same_have_no_differences() -> None:
    later = structs.replace(a_plan(hosts_named(3), forecast=A_FORECAST), made_at=MORNING + hours(1))
    assert compare(a_plan(hosts_named(3), forecast=A_FORECAST), later) == ()


def test_hosts_that_have_come_gone_or_changed_are_named() -> None:
    before = a_plan([*hosts_named(2), a_host("avd-009")])
    after = a_plan([a_host("avd-001", NEXT), a_host("avd-002"), a_host("avd-003")])
    assert compare(before, after) == (
        "office: avd-009 has gone",
        "office: avd-003 is new",
        "office: avd-001 would no longer be replaced",
    )


def test_many_hosts_are_counted() -> None:
    told = compare(a_plan(hosts_named(1)), a_plan(hosts_named(9)))
    assert "office: avd-002, avd-003, avd-004, avd-005, avd-006 and 3 more hosts are new" in told


def test_another_order_is_told() -> None:
    before = a_plan([a_host("avd-001"), a_host("avd-002", sessions=3)])
    after = a_plan([a_host("avd-001", sessions=3), a_host("avd-002")])
    assert compare(before, after) == ("office: the hosts would go in another order, avd-002 first",)


def test_other_amounts_in_the_policy_are_told_as_counts() -> None:
    differences = compare(a_plan(hosts_named(10), surge=1), a_plan(hosts_named(10), surge="20%"))
    assert differences == ("office: surge 1 has become 2", "office: at_a_time 1 has become 2")


def test_another_forecast_is_told_when_it_differs_by_more_than_a_tenth() -> None:
    slower = structs.replace(A_FORECAST, duration=Range(3600 * 14, 3600 * 20), forced_sign_outs=Range(2, 5))
    nearly = structs.replace(A_FORECAST, duration=Range(3600 * 10.5, 3600 * 20))
    hosts = hosts_named(3)

    assert compare(a_plan(hosts, forecast=A_FORECAST), a_plan(hosts, forecast=nearly)) == ()
    assert compare(a_plan(hosts, forecast=A_FORECAST), a_plan(hosts, forecast=slower)) == (
        "office: it would take 14.0 hours instead of 10.0 hours",
        "office: 2 people would be signed out instead of 10",
    )


def test_a_forecast_that_ends_otherwise_is_told() -> None:
    never = structs.replace(A_FORECAST, ends={"NotInTime": 3}, runs=3, duration=None)
    assert compare(a_plan(hosts_named(3), forecast=A_FORECAST), a_plan(hosts_named(3), forecast=never)) == (
        "office: of 3 runs 3 end as NotInTime; before, 20 end as Succeeded",
    )


def test_what_is_different_about_the_rollout_as_a_whole_is_told() -> None:
    before = structs.replace(a_plan(hosts_named(1)), regions={"westeurope": "ready"}, replicas=("too few",))
    after = structs.replace(a_plan(hosts_named(1)), regions={"westeurope": "replicating (40 %)"}, version="3.0.0")
    assert compare(before, after) == (
        "version 2.0.0 of office has become 3.0.0 of office",
        "region westeurope: ready has become replicating (40 %)",
        "no longer: too few",
    )


def test_findings_that_have_come_or_gone_are_told_where_both_plans_were_checked() -> None:
    sound = structs.replace(a_plan(hosts_named(3)), checked=True)
    short = finding("QuotaTooSmall", "host pool office", "its extra hosts need 4 cores")
    lacking = structs.replace(sound, findings=(short,))
    assert compare(sound, lacking) == ("new: host pool office: its extra hosts need 4 cores",)
    assert compare(lacking, sound) == ("no longer: host pool office: its extra hosts need 4 cores",)
    assert compare(a_plan(hosts_named(3)), lacking) == ()


def test_pools_that_are_new_gone_or_refused_are_told() -> None:
    pool = PoolPlan("office", "roll", "1 host is outdated", limits=Limits(1, 1, 1, 0, 1, 1, 10, 0))
    plan = RolloutPlan("office", NEXT, MORNING, "", (), (pool,))
    refused = structs.replace(pool, verdict="refuse", reason="NotPooled", message="its desktops belong to people")
    other = structs.replace(pool, pool="other")

    assert compare(plan, structs.replace(plan, pools=(refused,))) == (
        "office: roll has become refuse: its desktops belong to people",
    )
    assert compare(plan, structs.replace(plan, pools=(other,))) == (
        "office: is no longer in the plan",
        "other: is new in the plan; 1 host is outdated",
    )


# --------------------------------------------------------------------------------------- a rollout and its own plan


def ended(phase: Phase = Phase.SUCCEEDED, took: float = 10.5, forced: int = 12) -> PoolStatus:
    return PoolStatus("office", NEXT, phase, started=MORNING, since=MORNING + hours(took), forced_sign_outs=forced)


EXPECTED = Expected(duration_p50=36000, duration_p95=43200, forced_p50=10, forced_p95=20)


def test_a_rollout_that_went_as_planned_says_so() -> None:
    assert compared(EXPECTED, ended()) == (
        "office: took 10 h 30 min, planned 10 h 00 min and at most 12 h 00 min; "
        "12 forced sign-outs, planned 10 and at most 20"
    )


def test_a_rollout_that_was_beyond_its_plan_says_so() -> None:
    assert compared(EXPECTED, ended(took=13, forced=25)) == (
        "office: took 13 h 00 min, planned 10 h 00 min and at most 12 h 00 min, longer than that; "
        "25 forced sign-outs, planned 10 and at most 20, more than that"
    )


def test_a_rollout_that_did_not_succeed_is_not_measured() -> None:
    assert compared(EXPECTED, ended(Phase.HALTED)) == "office: the plan foresaw success, it ended as Halted"
