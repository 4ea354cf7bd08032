"""Which version is rolled out when several exist."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs

from rollout.candidates import eligible_version, missed_version, newest_version, why_not
from rollout.model import ImageVersion, RegionReplica
from rollout.policy import ImagePolicy
from tests.rollout.builders import MORNING, version_id

IMAGE = ImagePolicy(name="office", definition_id=version_id("1.0.0").rpartition("/versions/")[0])
ALL = structs.replace(IMAGE, include_excluded=True)
ARRIVED = {"westeurope": RegionReplica(state="Completed"), "northeurope": RegionReplica(state="Failed")}


def v(number: str, state: str = "Succeeded", *, excluded: bool = False, days_old: float = 1) -> ImageVersion:
    published = MORNING - timedelta(days=days_old)
    return ImageVersion(version_id(number), provisioning=state, exclude_from_latest=excluded, published_at=published)


def test_the_newest_is_the_one_with_the_highest_number() -> None:
    versions = [v("1.9.0", days_old=0), v("1.10.0", days_old=5), v("1.2.0")]

    assert newest_version(versions, IMAGE) == versions[1]


def test_versions_that_are_held_back_broken_or_unreadable_do_not_count() -> None:
    versions = [v("1.0.0"), v("5.0.0", excluded=True), v("4.0.0", "Failed"), v("3.0.0", "Deleting")]
    versions.append(ImageVersion("/subscriptions/s/nonsense"))

    assert newest_version(versions, IMAGE) == versions[0]
    assert newest_version(versions, ALL) == versions[1]
    assert newest_version([], IMAGE) is None


@pytest.mark.parametrize("state", ["Succeeded", "Creating", "Updating", "Migrating"])
def test_the_newest_version_is_rolled_out_even_before_it_is_complete(state: str) -> None:
    assert why_not(v("2.0.0", state), [v("1.0.0"), v("2.0.0", state)], IMAGE) == ""


def test_a_version_that_failed_in_one_region_only_is_rolled_out() -> None:
    partly = structs.replace(v("2.0.0", "Failed"), regions=ARRIVED)

    assert why_not(partly, [v("1.0.0")], IMAGE) == ""
    assert "Failed" in why_not(v("2.0.0", "Failed"), [v("1.0.0")], IMAGE)


def test_an_older_version_is_not_rolled_out_when_somebody_touches_it() -> None:
    assert why_not(v("1.0.0"), [v("1.0.0"), v("2.0.0")], IMAGE) == "2.0.0 is newer"


def test_a_newer_version_that_is_held_back_stands_in_nobodys_way() -> None:
    assert why_not(v("1.0.0"), [v("1.0.0"), v("2.0.0", excluded=True)], IMAGE) == ""
    assert why_not(v("1.0.0"), [v("1.0.0"), v("2.0.0", excluded=True)], ALL) == "2.0.0 is newer"


def test_a_version_excluded_from_latest_is_not_rolled_out_unless_the_policy_says_so() -> None:
    assert why_not(v("2.0.0", excluded=True), [], IMAGE) == "it is excluded from latest"
    assert why_not(v("2.0.0", excluded=True), [], ALL) == ""


@pytest.mark.parametrize(
    ("days_old", "found"), [(0, True), (2.9, True), (3, True), (3.1, False), (400, False), (-1, True)]
)
def test_the_sweep_looks_back_three_days(days_old: float, found: bool) -> None:
    version = v("2.0.0", days_old=days_old)

    assert missed_version([version], IMAGE, MORNING) == (version if found else None)


def test_the_sweep_waits_for_a_version_to_be_complete_and_takes_no_older_one_instead() -> None:
    assert missed_version([v("1.0.0"), v("2.0.0", "Creating")], IMAGE, MORNING) is None


def test_a_version_without_a_date_is_not_dug_out() -> None:
    assert missed_version([structs.replace(v("2.0.0"), published_at=None)], IMAGE, MORNING) is None


def test_a_run_takes_the_newest_version_that_is_old_enough_by_then() -> None:
    versions = [v("2.0.0", days_old=5), v("2.1.0", days_old=2), v("2.2.0", days_old=0.5), v("1.0.0", days_old=90)]

    assert eligible_version(versions, IMAGE, MORNING, timedelta(days=1)) == versions[1]
    assert eligible_version(versions, IMAGE, MORNING, timedelta(days=2)) == versions[1]
    assert eligible_version(versions, IMAGE, MORNING, timedelta(days=100)) is None


def test_a_run_that_is_caught_up_later_takes_the_version_that_it_would_have_taken() -> None:
    versions = [v("2.0.0", days_old=5), v("2.1.0", days_old=2)]

    assert eligible_version(versions, IMAGE, MORNING - timedelta(days=3), timedelta(0)) == versions[0]


def test_a_run_takes_no_version_that_is_held_back_or_has_no_date() -> None:
    undated = structs.replace(v("3.0.0"), published_at=None)

    assert eligible_version([v("2.0.0", excluded=True), undated], IMAGE, MORNING, timedelta(0)) is None
