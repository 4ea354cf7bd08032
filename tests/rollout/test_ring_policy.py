"""Rings in the policy file: each host pool in exactly one, everything wrong named where it stands."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import yaml

from demo.scenarios import SCENARIOS
from rollout.policy import ApprovalGate, GatesPolicy, HealthGate, RingPolicy, RingStart
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
    assert with_rings == ["monthly_cycle", "approval_timeout", "ring_fails", "dst", "supersede_mid_ring", "aborted"]


def test_without_rings_there_are_none() -> None:
    assert read_policy(text()).images[0].rings == ()


def test_a_gate_with_its_defaults_is_written_as_an_empty_mapping() -> None:
    ring = {**FIRST, "gates": {"approval": {}, "health": {}}}
    gates = read_policy(text(ring, SECOND)).images[0].rings[0].gates
    assert (gates.approval, gates.health) == (ApprovalGate(), HealthGate())


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
