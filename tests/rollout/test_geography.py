"""Copying a version to the first ring's regions first, and to the others once it has passed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rollout.assignments import ReplicaOrder
from rollout.geography import GeographyStep, regions_to_add
from rollout.model import ImageVersion, RegionReplica
from rollout.policy import ReplicationPolicy
from tests.rollout.builders import version_id

VERSION = version_id("2.0.0")
RINGS = (["West Europe"], ["westeurope", "northeurope", "uksouth"])


def add(*present: str, passed: bool, rings: Any = RINGS, **policy: Any) -> GeographyStep:
    version = ImageVersion(VERSION, regions={region: RegionReplica("Completed") for region in present})
    first, later = rings
    return regions_to_add(version, first, later, ReplicationPolicy(**policy), first_ring_has_passed=passed)


def test_before_the_first_ring_has_passed_the_others_are_held_back() -> None:
    step = add("westeurope", passed=False)

    assert (step.order, step.held_back) == (None, ("northeurope", "uksouth"))
    assert step.message == "version 2.0.0 stays out of northeurope, uksouth until the first ring has passed"


def test_the_first_rings_own_region_is_added_at_once() -> None:
    assert add("francecentral", passed=False).order == ReplicaOrder(VERSION, {"westeurope": 1})


def test_when_it_has_passed_the_others_are_added_with_those_of_the_policy() -> None:
    step = add("westeurope", passed=True, regions=("Japan East",))

    assert step.order == ReplicaOrder(VERSION, {"japaneast": 1, "northeurope": 1, "uksouth": 1})
    assert step.held_back == ()
    assert step.message == "version 2.0.0 is copied to japaneast, northeurope, uksouth"


def test_once_they_are_there_nothing_is_asked_for() -> None:
    step = add("westeurope", "northeurope", "uksouth", passed=True)

    assert step.order is None
    assert step.message == "version 2.0.0 is in every region that it has to be in"


def test_what_was_published_everywhere_is_not_held_back() -> None:
    assert add("westeurope", "northeurope", "uksouth", passed=False).held_back == ()


def test_a_region_outside_the_approved_ones_is_never_added() -> None:
    step = add("westeurope", passed=True, approved_regions=("westeurope", "uksouth"))

    assert step.order == ReplicaOrder(VERSION, {"uksouth": 1})
    assert step.refused == ("northeurope",)
    assert step.message == "version 2.0.0 is copied to uksouth; must not be in northeurope"


_REGIONS = st.sets(st.sampled_from(["westeurope", "northeurope", "uksouth", "eastus", "japaneast"]))


@given(present=_REGIONS, first=_REGIONS, later=_REGIONS, approved=_REGIONS, passed=st.booleans())
def test_nothing_is_added_too_early_twice_or_where_it_must_not_be(
    present: set[str], first: set[str], later: set[str], approved: set[str], passed: bool
) -> None:
    step = add(*present, passed=passed, rings=(first, later), approved_regions=tuple(sorted(approved)))
    added = set(step.order.replicas) if step.order else set()

    assert not added & present
    assert added <= (first | later if passed else first)
    assert not approved or added <= approved
    assert added | set(step.refused) | present >= (first | later if passed else first)
