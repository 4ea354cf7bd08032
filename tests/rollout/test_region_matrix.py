"""Where versions are against where they have to be and may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.model import ImageVersion, RegionReplica
from rollout.policy import ReplicationPolicy
from rollout.region_matrix import compare, required_regions
from tests.rollout.builders import version_id


def v(number: str, home: str = "westeurope", **replicas: int) -> ImageVersion:
    regions = {region: RegionReplica("Completed", 100, count) for region, count in replicas.items()}
    return ImageVersion(version_id(number), location=home, regions=regions)


def test_required_are_the_regions_of_the_pools_and_those_of_the_policy() -> None:
    required = required_regions(
        {"uk": ["uksouth"], "both": ["uksouth", "westeurope"]}, ReplicationPolicy(regions=("UK South", "Japan East"))
    )
    assert required == {"japaneast": ("the policy",), "uksouth": ("uk", "both", "the policy"), "westeurope": ("both",)}


def test_a_version_that_is_where_it_has_to_be() -> None:
    (one,) = compare([v("1.0.0", westeurope=2, northeurope=1)], ["westeurope", "northeurope"], [])
    assert (one.missing, one.surplus, one.unapproved) == ((), (), ())
    assert one.replicas == {"northeurope": 1, "westeurope": 2}
    assert one.message == "1.0.0 is where it has to be"


def test_missing_surplus_and_unapproved_regions_are_named() -> None:
    (one,) = compare(
        [v("1.0.0", westeurope=1, eastus=1, francecentral=1)],
        ["westeurope", "northeurope"],
        ["West Europe", "North Europe", "France Central"],
    )
    assert (one.missing, one.surplus, one.unapproved) == (("northeurope",), ("eastus", "francecentral"), ("eastus",))
    assert one.message == (
        "1.0.0 is missing in northeurope; is not needed in eastus, francecentral; "
        "is outside the approved regions in eastus"
    )


def test_the_home_region_is_no_surplus_because_azure_does_not_let_it_go() -> None:
    (one,) = compare([v("1.0.0", "uksouth", uksouth=1, westeurope=1)], ["westeurope"], [])
    assert one.surplus == ()


def test_the_home_region_may_be_unapproved_all_the_same() -> None:
    (one,) = compare([v("1.0.0", "uksouth", uksouth=1, westeurope=1)], ["westeurope"], ["westeurope"])
    assert one.unapproved == ("uksouth",)


def test_the_newest_version_comes_first() -> None:
    versions = [v("1.9.0", westeurope=1), v("1.10.0", westeurope=1)]
    assert [one.version for one in compare(versions, ["westeurope"], [])] == ["1.10.0", "1.9.0"]


_REGIONS = st.sets(st.sampled_from(["westeurope", "northeurope", "uksouth", "eastus", "japaneast"]))


@given(present=_REGIONS, required=_REGIONS, approved=_REGIONS)
def test_what_is_missing_is_not_there_and_what_is_surplus_is_not_required(
    present: set[str], required: set[str], approved: set[str]
) -> None:
    (one,) = compare([v("1.0.0", "westeurope", **dict.fromkeys(present, 1))], required, approved)

    assert set(one.missing) == required - present
    assert set(one.surplus) == present - required - {"westeurope"}
    assert set(one.unapproved) == (present - approved if approved else set())
