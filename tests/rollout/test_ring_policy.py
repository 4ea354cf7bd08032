"""Rings in the policy file: each host pool in exactly one, everything wrong named where it stands."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import yaml

from demo.scenarios import SCENARIOS
from rollout.policy import (
    ApprovalGate,
    GatesPolicy,
    HealthGate,
    QueryGate,
    RingPolicy,
    RingStart,
    SignInFailuresGate,
    hours,
    minutes,
)
from rollout.policy_file import PolicyError, read_policy
from tests.rollout.test_policy_file import EXAMPLE, GROUP, WEEKEND, a_pool

DEFINITION = f"{GROUP}/providers/Microsoft.Compute/galleries/gal/images"


def text(*rings: Any, pools: Any = None, **image: Any) -> str:
    images = [{"name": "office", "definition_id": f"{DEFINITION}/office", "rings": list(rings), **image}]
    if pools is None:
        pools = [a_pool("validation"), a_pool("production")]
    if any(pool["image"] == "other" for pool in pools):
        images.append({"name": "other", "definition_id": f"{DEFINITION}/other"})
    return yaml.safe_dump({"images": images, "host_pools": pools})


def problems(*rings: Any, **policy: Any) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read_policy(text(*rings, **policy))
    return [str(problem).split(" (line")[0] for problem in caught.value.problems]


FIRST, SECOND = {"name": "first", "host_pools": ["validation"]}, {"name": "second", "host_pools": ["production"]}


def test_a_ring_says_little_and_the_rest_has_defaults() -> None:
    first, second = read_policy(text(FIRST, SECOND)).images[0].rings

    assert first == RingPolicy(name="first", host_pools=("validation",))
    assert first.concurrency is None
    assert first.start == RingStart()
    assert first.gates == GatesPolicy()
    assert second.name == "second"


def test_everything_that_a_ring_can_say() -> None:
    ring = {
        **FIRST,
        "concurrency": 2,
        "start": {"after": "P1D", "windows": [WEEKEND]},
        "gates": {
            "soak": "PT4H",
            "approval": {
                "deadline": "P4D",
                "on_timeout": "reject",
                "roles": ["Approver", "Owner"],
                "other_than_starter": True,
            },
            "health": {"max_unhealthy_percent": 10, "within": "PT3H"},
        },
    }
    read = read_policy(text(ring, SECOND, latest="earned")).images[0]

    assert read.latest == "earned"
    assert read.rings[0].concurrency == 2
    assert read.rings[0].start.after == timedelta(days=1)
    assert read.rings[0].start.windows[0].zone == "Europe/Zurich"
    assert read.rings[0].gates == GatesPolicy(
        soak=timedelta(hours=4),
        approval=ApprovalGate(
            deadline=timedelta(days=4), on_timeout="reject", roles=("Approver", "Owner"), other_than_starter=True
        ),
        health=HealthGate(max_unhealthy_percent=10, within=timedelta(hours=3)),
    )


def test_the_rings_of_the_example_can_be_used_as_they_stand() -> None:
    before, rings, after = re.split(r"(?m)(^    #rings:\n(?:    #.*\n)+)", EXAMPLE)
    used = before + re.sub(r"(?m)^    #", "    ", rings) + after
    image = read_policy(used).images[0]

    assert [ring.name for ring in image.rings] == ["validation", "production"]
    approval = image.rings[0].gates.approval
    assert approval is not None
    assert approval.on_timeout == "reject"
    assert image.rings[1].concurrency == 5
    assert image.rings[1].gates.health == HealthGate()


def test_every_scenario_and_its_rings_are_policies_that_load() -> None:
    with_rings = [name for name, scenario in SCENARIOS.items() if read_policy(scenario.policy).images[0].rings]
    assert with_rings == [
        "monthly_cycle",
        "approval_timeout",
        "ring_fails",
        "sign_ins_fail",
        "dst",
        "supersede_mid_ring",
        "aborted",
    ]


def test_without_rings_there_are_none() -> None:
    assert read_policy(text()).images[0].rings == ()


def test_a_gate_with_its_defaults_is_written_as_an_empty_mapping() -> None:
    ring = {**FIRST, "gates": {"approval": {}, "health": {}}}
    gates = read_policy(text(ring, SECOND)).images[0].rings[0].gates
    assert (gates.approval, gates.health) == (ApprovalGate(), HealthGate())


WORKSPACE = "11111111-2222-3333-4444-555555555555"
QUERY = {"workspace_id": WORKSPACE, "query": "Errors | count", "at_most": 5}


def test_everything_that_a_query_can_say() -> None:
    said = {"at_least": 0.5, "timespan": "PT1H", "within": "PT3H", "every": "PT20M", "on_no_data": "wait"}
    gates = {"queries": {"errors": {**QUERY, **said}}, "sign_in_failures": {"workspace_id": WORKSPACE}}
    read = read_policy(text({**FIRST, "gates": gates}, SECOND)).images[0].rings[0].gates

    assert read.queries == {
        "errors": QueryGate(
            workspace_id=WORKSPACE,
            query="Errors | count",
            at_most=5,
            at_least=0.5,
            timespan=hours(1),
            within=hours(3),
            every=minutes(20),
            on_no_data="wait",
        )
    }
    assert read.sign_in_failures == SignInFailuresGate(workspace_id=WORKSPACE)


def query_problems(**change: Any) -> list[str]:
    """What is wrong with a ring that has this query, below the query."""
    query = {key: value for key, value in {**QUERY, **change}.items() if value != "leave out"}
    found = problems({**FIRST, "gates": {"queries": {"errors": query}}}, SECOND)
    return [problem.removeprefix("images[0].rings[0].gates.queries.errors") for problem in found]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at_most": "leave out"}, ".at_most: is missing, or at_least: one of them is needed"),
        ({"at_least": 7}, ".at_least: must not be above at_most (5), or no number ever holds"),
        ({"at_most": "five"}, ".at_most: expected a number, got 'five'"),
        ({"at_most": True}, ".at_most: expected a number, got true"),
        ({"query": "  "}, ".query: must not be empty: without a query there is no number"),
        ({"query": "x" * 4001}, ".query: has 4001 characters; at most 4000 are read"),
        ({"query": "print goldroll_rink"}, ".query: unknown name 'goldroll_rink', did you mean 'goldroll_ring'?"),
        ({"query": "leave out"}, ".query: is missing"),
        ({"workspace_id": "logs"}, ".workspace_id: expected the Workspace ID of a Log Analytics workspace"),
        ({"workspace_id": "/subscriptions/s/workspaces/logs"}, ".workspace_id: expected the Workspace ID of a Log"),
        ({"on_no_data": "ignore"}, ".on_no_data: expected one of fail, pass, wait, got 'ignore'"),
        ({"every": "PT30S"}, ".every: must be at least PT1M, got PT30S"),
        ({"every": "PT1M"}, ".every: asking every PT1M within PT2H is more than 10 times: at least PT12M"),
        ({"within": "P1D"}, ".within: asking every PT15M within PT24H is more than 10 times: at least PT2H24M"),
        ({"within": "PT0S"}, ".within: must be longer than nothing"),
        ({"every": "often"}, ".every: expected a duration such as PT30M"),
        ({"threshold": 5}, ".threshold: unknown key"),
    ],
)
def test_what_is_wrong_with_a_query_is_told_where_it_stands(change: Any, message: str) -> None:
    found = query_problems(**change)
    assert any(problem.startswith(message) for problem in found), found
    assert len(found) == 1


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"queries": []}, "queries: expected keys and values, got a list"),
        ({"queries": {"errors": None}}, "queries.errors: expected keys and values, got nothing"),
        ({"queries": {"Errors!": QUERY}}, "expected a name of at most 40 lower-case letters, digits or hyphens"),
        ({"queries": {"sign-in-failures": QUERY}}, "is the name of the gate sign_in_failures: take another one"),
        ({"queries": {f"q{n}": QUERY for n in range(4)}}, "queries: has 4 queries; at most 3 are asked for a ring"),
        ({"sign_in_failures": {}}, "sign_in_failures.workspace_id: is missing"),
        ({"sign_in_failures": {"workspace_id": WORKSPACE, "least_sign_ins": 0}}, "expected a whole number, at least 1"),
        ({"sign_in_failures": {"workspace_id": WORKSPACE, "every": "PT5M"}}, "within PT10H is more than 10 times"),
    ],
)
def test_what_is_wrong_with_the_queries_of_a_ring_is_told(gates: Any, message: str) -> None:
    found = problems({**FIRST, "gates": gates}, SECOND)
    assert any(message in problem for problem in found), found


def test_a_pool_in_no_ring_is_named() -> None:
    assert problems(FIRST) == ["images[0].rings: host pool production uses this image and is in no ring"]


def test_a_pool_in_two_rings_is_named_with_the_other_ring() -> None:
    second = {**SECOND, "host_pools": ["production", "validation"]}
    assert problems(FIRST, second) == [
        "images[0].rings[1].host_pools[1]: host pool validation is also in images[0].rings[0]: a pool is in one ring"
    ]


def test_a_pool_that_is_listed_twice_in_a_ring_is_named() -> None:
    found = problems({**FIRST, "host_pools": ["validation", "validation"]}, SECOND)
    assert found[0] == "images[0].rings[0].host_pools[0]: host pool validation is listed twice"


def test_a_pool_that_does_not_exist_is_named_with_the_one_that_was_meant() -> None:
    found = problems({**FIRST, "host_pools": ["validaton", "validation"]}, SECOND)
    assert found == ["images[0].rings[0].host_pools[0]: no host pool is named 'validaton', did you mean 'validation'?"]


def test_a_pool_of_another_image_does_not_belong_into_a_ring() -> None:
    pools = [a_pool("validation"), a_pool("production"), a_pool("special", image="other")]
    found = problems({**FIRST, "host_pools": ["validation", "special"]}, SECOND, pools=pools)
    assert found == ["images[0].rings[0].host_pools[1]: host pool special uses image 'other', not this one"]


def test_two_rings_need_two_names() -> None:
    assert problems(FIRST, {**SECOND, "name": "first"}) == ["images[0].rings[1].name: 'first' is the name of two rings"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host_pools": []}, "images[0].rings[0].host_pools: a ring has at least one host pool"),
        ({"name": "First ring"}, "images[0].rings[0].name: expected at most 40 lower-case letters"),
        ({"concurrency": 0}, "images[0].rings[0].concurrency: expected a whole number, at least 1, got 0"),
        ({"start": {"after": "1 day"}}, "images[0].rings[0].start.after: expected a duration such as PT30M"),
        ({"start": {"on": "monday"}}, "images[0].rings[0].start.on: unknown key"),
        ({"start": {"windows": [{**WEEKEND, "zone": "Europe/Zurch"}]}}, "images[0].rings[0].start.windows[0].zone:"),
        (
            {"start": {"windows": [{**WEEKEND, "recurrence": "FREQ=MONTHLY;BYMONTHDAY=30;BYMONTH=2"}]}},
            "images[0].rings[0].start.windows[0].recurrence: there is no such day",
        ),
        ({"start": {"windows": [WEEKEND] * 51}}, "images[0].rings[0].start.windows: has 51 elements; at most 50"),
        (
            {"gates": {"approval": {"on_timeout": "ask"}}},
            "images[0].rings[0].gates.approval.on_timeout: expected one of wait, reject, approve, got 'ask'",
        ),
        ({"gates": {"approval": {"deadline": "PT0S"}}}, "images[0].rings[0].gates.approval.deadline: must be longer"),
        ({"gates": {"approval": {"roles": []}}}, "images[0].rings[0].gates.approval.roles: nobody could ever answer"),
        ({"gates": {"health": {"within": "PT0S"}}}, "images[0].rings[0].gates.health.within: must be longer"),
        ({"gates": {"smoke": {}}}, "images[0].rings[0].gates.smoke: unknown key"),
    ],
)
def test_what_is_wrong_with_a_ring_is_told_where_it_stands(change: Any, message: str) -> None:
    found = problems({**FIRST, **change}, SECOND)
    assert any(problem.startswith(message) for problem in found), found


@pytest.mark.parametrize("rings", ["first", [{"name": "first"}], ["first"], [None], [{"host_pools": 7, "name": 8}]])
def test_rings_of_any_other_shape_are_refused_and_nothing_breaks(rings: Any) -> None:
    document = yaml.safe_load(text())
    document["images"][0]["rings"] = rings
    with pytest.raises(PolicyError):
        read_policy(yaml.safe_dump(document))


def test_more_rings_than_anybody_has_are_refused() -> None:
    many = [{"name": f"ring-{n}", "host_pools": [f"pool-{n}"]} for n in range(21)]
    assert "images[0].rings: has 21 elements; at most 20 are read" in problems(*many)
