"""What becomes of image versions: a table of situations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from rollout.model import ImageVersion
from rollout.policy import RetentionPolicy
from rollout.retention import (
    MOST_CHANGES,
    RETIRED_TAG,
    ChangeVersion,
    DeleteVersion,
    VersionUsers,
    as_retired,
    is_carried_out,
    retired_at,
    same_step,
)
from tests.rollout.versions import NOW, a_version, good_versions, of, planned

KEPT = good_versions("5.0.0", "4.0.0", "3.0.0")
"""The newest three good versions, which are kept."""


# ------------------------------------------------------------------------------------------------- what is kept


def test_the_newest_good_versions_are_kept_and_the_next_one_is_retired() -> None:
    plan = planned(*KEPT, a_version("2.0.0"))

    assert [entry.version for entry in plan.versions] == ["5.0.0", "4.0.0", "3.0.0", "2.0.0"]
    assert [entry.is_protected for entry in plan.versions] == [True, True, True, False]
    assert of(plan, "5.0.0").reason == "it is the last good version, and it is what latest means"
    assert "one of the last 3 good versions, and it is what 5.0.0 would be rolled back to" in of(plan, "4.0.0").reason
    assert isinstance(of(plan, "2.0.0").step, ChangeVersion)


@pytest.mark.parametrize("verdict", ["failed", "vetoed", ""])
def test_only_good_versions_count(verdict: str) -> None:
    plan = planned(a_version("5.0.0"), a_version("4.0.0", verdict), a_version("3.0.0"), a_version("2.0.0"))

    assert "last 3 good versions" in of(plan, "2.0.0").reason


def test_an_unproven_version_between_good_ones_stays_until_enough_newer_ones_are_good() -> None:
    versions = (a_version("4.0.0"), a_version("3.0.0"), a_version("2.0.0", ""), a_version("1.0.0"))
    assert of(planned(*versions), "2.0.0").reason == "fewer than 3 good versions are newer"

    overtaken = of(planned(a_version("5.0.0"), *versions), "2.0.0")
    assert isinstance(overtaken.step, ChangeVersion)
    assert overtaken.reason.startswith("3 newer versions are good: ")


def test_a_version_newer_than_the_last_good_one_may_yet_be_proven() -> None:
    plan = planned(a_version("6.0.0", "", excluded=True), *KEPT)

    assert of(plan, "6.0.0").reason == "it may yet be proven good"


def test_numbers_are_compared_as_numbers() -> None:
    plan = planned(*good_versions("1.10.0", "1.9.0", "1.8.0", "1.7.0"))

    assert [entry.version for entry in plan.versions] == ["1.10.0", "1.9.0", "1.8.0", "1.7.0"]
    assert [step.version for step in plan.steps] == ["1.7.0"]


# -------------------------------------------------------------------------------------------- what is protected


OLD_ENOUGH = a_version("1.0.0", excluded=True, end_of_life=-60)
"""A version that is deleted unless something protects it."""


def test_an_old_version_that_nobody_uses_is_deleted_some_time_after_its_end_of_life() -> None:
    plan = planned(*KEPT, OLD_ENOUGH)

    step = of(plan, "1.0.0").step
    assert step == DeleteVersion("1.0.0", OLD_ENOUGH.id, step.reason if step else "", OLD_ENOUGH.published_at)
    assert of(plan, "1.0.0").reason == "3 newer versions are good, and its end of life was 2026-09-21: deleted"


@pytest.mark.parametrize(
    ("why", "snapshot", "policy"),
    [
        ("it is used by 1 VM", {"used": {"1.0.0": 1}}, {}),
        ("it is used by 1 scale set (web)", {"users": {"1.0.0": VersionUsers(scale_sets=1, names=("web",))}}, {}),
        ("image-x is rolling it out", {"running": {"1.0.0": "image-x"}}, {}),
        ("it is what 2.0.0 would be rolled back to", {"running": {"2.0.0": "image-x"}}, {}),
        ("the policy pins it", {}, {"pinned": ("1.0.0",)}),
    ],
)
def test_a_version_is_protected(why: str, snapshot: dict[str, Any], policy: dict[str, Any]) -> None:
    entry = of(planned(*KEPT, OLD_ENOUGH, policy=RetentionPolicy(**policy), **snapshot), "1.0.0")
    assert (entry.is_protected, entry.step) == (True, None)
    assert why in entry.reason


def test_every_reason_to_protect_is_told() -> None:
    plan = planned(*KEPT, OLD_ENOUGH, used={"1.0.0": 2}, policy=RetentionPolicy(pinned=("1.0.0",)))

    assert of(plan, "1.0.0").reason == "the policy pins it, and it is used by 2 VMs"


def test_a_verdict_that_cannot_be_read_protects() -> None:
    plan = planned(*KEPT, a_version("1.0.0", "splendid", excluded=True, end_of_life=-60))

    assert of(plan, "1.0.0").reason == "its verdict cannot be read"


def test_what_latest_means_to_a_scale_set_in_its_region_is_protected() -> None:
    left_behind = a_version("1.0.0", regions=("westeurope", "northeurope"))
    assert of(planned(*KEPT, left_behind), "1.0.0").step is not None

    plan = planned(*KEPT, left_behind, followers={"northeurope": VersionUsers(scale_sets=1, names=("web",))})
    assert of(plan, "1.0.0").reason == ("it is what latest means in northeurope for 1 scale set (web)")


def test_below_a_latest_that_azure_has_not_finished_the_next_one_is_protected_too() -> None:
    # Which of the two is latest depends on how far the copies are, which a list does not tell.
    new = a_version("5.0.0", provisioning="Updating")
    held_back = (a_version("4.0.0", excluded=True), a_version("3.0.0", excluded=True))
    plan = planned(new, *held_back, a_version("2.0.0"), a_version("1.0.0"))

    assert "latest" in of(plan, "5.0.0").reason
    assert "latest" in of(plan, "2.0.0").reason
    assert of(plan, "1.0.0").step is not None


def test_the_version_before_the_last_good_one_is_protected_even_if_only_one_is_kept() -> None:
    plan = planned(*KEPT, policy=RetentionPolicy(keep=1))

    assert "rolled back to" in of(plan, "4.0.0").reason
    assert of(plan, "3.0.0").step is not None


# -------------------------------------------------------------------------------------------- how one is retired


def test_retiring_begins_with_an_end_of_life_out_of_latest_and_with_fewer_regions() -> None:
    old = a_version("2.0.0", days=30, regions=("westeurope", "northeurope", "uksouth"))
    plan = planned(*KEPT, old, policy=RetentionPolicy(rollback_regions=("North Europe",)))

    step = of(plan, "2.0.0").step
    assert isinstance(step, ChangeVersion)
    assert (step.exclude, step.drop_regions) == (True, ("uksouth",))
    assert step.end_of_life == NOW + timedelta(days=60)
    assert of(plan, "2.0.0").reason == (
        "3 newer versions are good: "
        "retired, excluded from latest, end of life 2027-01-19, replicas removed from uksouth"
    )


def test_an_end_of_life_is_never_set_in_the_past() -> None:
    step = of(planned(*KEPT, a_version("2.0.0", days=300)), "2.0.0").step

    assert isinstance(step, ChangeVersion)
    assert step.end_of_life == NOW


def test_an_end_of_life_that_somebody_has_set_stays() -> None:
    step = of(planned(*KEPT, a_version("2.0.0", end_of_life=400)), "2.0.0").step

    assert isinstance(step, ChangeVersion)
    assert (step.exclude, step.end_of_life) == (True, None)


def test_without_rollback_regions_no_replica_is_removed() -> None:
    step = of(planned(*KEPT, a_version("2.0.0", regions=("westeurope", "uksouth"))), "2.0.0").step

    assert isinstance(step, ChangeVersion)
    assert step.drop_regions == ()


def test_the_home_region_is_never_removed() -> None:
    old = a_version("2.0.0", regions=("westeurope", "uksouth"))
    step = of(planned(*KEPT, old, policy=RetentionPolicy(rollback_regions=("uksouth",))), "2.0.0").step

    assert isinstance(step, ChangeVersion)
    assert step.drop_regions == ()


def test_a_version_whose_regions_azure_keeps_is_not_cut_back_and_the_plan_says_so() -> None:
    old = a_version("2.0.0", excluded=True, end_of_life=10, regions=("westeurope", "uksouth"), keeps_regions=True)
    entry = of(planned(*KEPT, old, policy=RetentionPolicy(rollback_regions=("westeurope",))), "2.0.0")

    assert entry.step is None
    assert entry.reason.endswith("; Azure keeps it in all its regions until then")


def test_before_its_end_of_life_a_version_is_not_deleted_and_azure_may_block_it_too() -> None:
    old = a_version("2.0.0", excluded=True, end_of_life=20, blocks_early_deletion=True)

    assert of(planned(*KEPT, old), "2.0.0").reason == (
        "3 newer versions are good; its end of life is 2026-12-10, until which Azure blocks its deletion, "
        "and it is deleted from 2027-01-09 on"
    )


@pytest.mark.parametrize(
    ("end", "marked", "deleted"), [(29.9, 100, False), (30, 100, True), (100, 29.9, False), (100, 30, True)]
)
def test_a_version_is_deleted_an_age_after_its_end_of_life_and_after_it_was_marked(
    end: float, marked: float, *, deleted: bool
) -> None:
    entry = of(planned(*KEPT, a_version("2.0.0", excluded=True, end_of_life=-end, marked=marked)), "2.0.0")

    assert isinstance(entry.step, DeleteVersion) == deleted


def test_a_version_whose_life_its_publisher_let_end_long_ago_is_marked_first() -> None:
    """A host may have been replaced on it an hour ago, and the rollout that did so may be rolled back."""
    entry = of(planned(*KEPT, a_version("2.0.0", excluded=True, end_of_life=-300, marked=0)), "2.0.0")

    assert entry.reason == "3 newer versions are good: retired"
    assert isinstance(entry.step, ChangeVersion)
    assert entry.step.retired_at == NOW


def test_a_mark_that_is_no_time_is_made_anew() -> None:
    broken = structs.replace(OLD_ENOUGH, tags=OLD_ENOUGH.tags | {RETIRED_TAG: "yesterday"})

    assert isinstance(of(planned(*KEPT, broken), "1.0.0").step, ChangeVersion)


def test_marking_leaves_every_other_tag() -> None:
    tags = as_retired({"cost-centre": "17", "Goldroll-Retired-At": "yesterday"}, NOW)

    assert tags == {"cost-centre": "17", RETIRED_TAG: "2026-11-20T03:30:00Z"}
    assert retired_at(tags) == NOW
    assert retired_at({}) is None


@pytest.mark.parametrize(("verdict", "word"), [("failed", "it has failed"), ("vetoed", "it was vetoed")])
def test_a_bad_version_is_retired_however_new_it_is(verdict: str, word: str) -> None:
    entry = of(planned(a_version("9.0.0", verdict, days=1, because="printing is broken."), *KEPT), "9.0.0")

    assert entry.reason == f"{word} (printing is broken): retired, excluded from latest, end of life 2027-02-17"


@pytest.mark.parametrize("state", ["Creating", "Updating", "Migrating"])
def test_a_version_that_azure_is_at_work_on_waits(state: str) -> None:
    assert of(planned(*KEPT, a_version("2.0.0", provisioning=state)), "2.0.0").step is None


def test_a_version_that_is_being_deleted_is_left_to_that() -> None:
    assert of(planned(*KEPT, a_version("2.0.0", provisioning="Deleting")), "2.0.0").reason == "it is being deleted"


def test_a_version_of_which_one_region_has_failed_is_retired_all_the_same() -> None:
    assert of(planned(*KEPT, a_version("2.0.0", provisioning="Failed")), "2.0.0").step is not None


# --------------------------------------------------------------------------------------------- when nothing happens


def test_nothing_is_touched_while_a_list_of_users_cannot_be_read() -> None:
    bad = a_version("9.0.0", "failed")
    plan = planned(bad, *KEPT, a_version("2.0.0"), OLD_ENOUGH, unreadable=("the VMs of s1 cannot be listed: 403",))

    assert plan.steps == ()
    assert plan.is_blind
    assert plan.held == (
        "nothing is changed, because who uses the versions is not fully known: the VMs of s1 cannot be listed: 403"
    )
    assert "deleted is what would follow, but nothing is changed" in of(plan, "1.0.0").reason


def test_as_long_as_nothing_has_been_proven_only_bad_versions_are_kept_out_of_latest() -> None:
    plan = planned(
        a_version("3.0.0", "failed"),
        a_version("2.0.0", ""),
        a_version("1.0.0", "failed", excluded=True, end_of_life=-90),
    )

    assert [(step.version, step.told) for step in plan.steps] == [("3.0.0", "excluded from latest")]
    assert plan.held == "nothing is retired, because no version has been proven good yet"
    assert of(plan, "1.0.0").reason == f"it has failed, but {plan.held}"


def test_a_definition_without_versions_has_an_empty_plan() -> None:
    assert planned().versions == ()


def test_what_concerns_all_versions_is_noted() -> None:
    plan = planned(*KEPT, restorable_days=7, shared=True)

    assert plan.notes == (
        "the gallery is shared with others, whose VMs and scale sets are not known here",
        "the gallery has soft delete: what is deleted can be restored for 7 days",
    )


# ------------------------------------------------------------------------------------------------------ one run


def test_a_run_deletes_so_many_the_oldest_first_and_puts_the_others_off() -> None:
    old = [a_version(f"1.0.{n}", excluded=True, end_of_life=-60) for n in range(8)]
    plan = planned(*KEPT, *old, policy=RetentionPolicy(max_deletions=2))

    assert [step.version for step in plan.steps] == ["1.0.0", "1.0.1"]
    assert of(plan, "1.0.2").put_off
    assert of(plan, "1.0.2").reason.endswith("(in a later run, this one has enough to do)")


def test_a_run_changes_so_many_and_bad_ones_come_first() -> None:
    old = [a_version(f"1.0.{n}") for n in range(MOST_CHANGES)]
    plan = planned(a_version("9.0.0", "vetoed"), *KEPT, *old)

    assert len(plan.steps) == MOST_CHANGES
    assert [step.version for step in plan.steps][:2] == ["9.0.0", "1.0.0"]


def test_changes_come_before_deletions() -> None:
    plan = planned(*KEPT, a_version("2.0.0"), OLD_ENOUGH)

    assert [type(step) for step in plan.steps] == [ChangeVersion, DeleteVersion]


# ------------------------------------------------------------------------------------------- before it is done


def test_a_step_is_the_same_whatever_is_said_about_it() -> None:
    one = of(planned(*KEPT, OLD_ENOUGH), "1.0.0").step
    other = of(planned(a_version("6.0.0"), *KEPT, OLD_ENOUGH), "1.0.0").step
    assert one is not None
    assert other is not None

    assert one.reason != other.reason
    assert same_step(one, other)
    assert not same_step(one, None)
    assert not same_step(one, structs.replace(other, published_at=NOW))


@pytest.mark.parametrize(
    ("version", "done"),
    [
        (None, False),
        (a_version("2.0.0", excluded=True, end_of_life=3), True),
        (a_version("2.0.0", excluded=False, end_of_life=3), False),
        (a_version("2.0.0", excluded=True, end_of_life=4), False),
        (a_version("2.0.0", excluded=True, end_of_life=3, regions=("westeurope", "uksouth")), False),
        (a_version("2.0.0", excluded=True, end_of_life=3, marked=0), False),
    ],
)
def test_a_change_is_carried_out_when_all_of_it_is_to_be_seen(version: ImageVersion | None, *, done: bool) -> None:
    end = NOW + timedelta(days=3)
    step = ChangeVersion("2.0.0", "id", "why", retired_at=NOW, exclude=True, end_of_life=end, drop_regions=("uksouth",))

    assert is_carried_out(step, version) == done


def test_a_deletion_is_carried_out_when_it_has_begun() -> None:
    step = DeleteVersion("2.0.0", "id", "why")

    assert is_carried_out(step, None)
    assert is_carried_out(step, a_version("2.0.0", provisioning="Deleting"))
    assert not is_carried_out(step, a_version("2.0.0"))


def test_users_are_told_in_words() -> None:
    assert str(VersionUsers(2, 1, ("avd-001", "avd-002", "web"))) == "2 VMs and 1 scale set (avd-001, avd-002, web)"
    assert str(VersionUsers(9, 0, ("avd-001",))) == "9 VMs (avd-001, ...)"
