"""What an image's part of the policy file may say, and what it must not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollout.policy import SchedulePolicy
from tests.rollout.test_policy_file import VERSION, a_file, changed, problems_in, read, the_problem_in

WEEKLY = {"zone": "Europe/Zurich", "recurrence": "FREQ=WEEKLY;BYDAY=MO", "start": "20:00"}
AFTER_PATCH_TUESDAY = {"zone": "Europe/Zurich", "days_after_patch_tuesday": 6, "start": "20:00"}


def with_image(**keys: Any) -> dict[str, Any]:
    """A file whose image has these keys as well."""
    file = a_file()
    for key, value in keys.items():
        file = changed(file, f"images.0.{key}", value)
    return file


# ---------------------------------------------------------------------------------------------------------- schedules


def test_a_schedule_is_read_with_its_defaults() -> None:
    (image,) = read(with_image(schedule={**WEEKLY, "min_age": "P2D"})).images
    assert image.schedule == SchedulePolicy(
        zone="Europe/Zurich", recurrence="FREQ=WEEKLY;BYDAY=MO", start="20:00", min_age=timedelta(days=2)
    )
    assert (image.schedule.missed, image.schedule.also_on_publish) == ("catch_up", False)


@pytest.mark.parametrize("schedule", [AFTER_PATCH_TUESDAY, {**WEEKLY, "min_age": "PT0S"}, None])
def test_schedules_that_are_accepted(schedule: Any) -> None:
    assert read(with_image(schedule=schedule)).images


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("recurrence", "FREQ=HOURLY", "FREQ must be one of DAILY, WEEKLY, MONTHLY, YEARLY"),
        ("recurrence", "every monday", "expected a recurrence such as FREQ=WEEKLY;BYDAY=SA"),
        ("zone", "Europe/Zurick", "did you mean 'Europe/Zurich'?"),
        ("start", "24:00", "expected a time of day such as 22:00"),
        ("min_age", "2 days", "write P2D"),
        ("min_age", "-P1D", "must not be negative"),
        ("missed", "later", "expected one of catch_up, skip"),
        ("days_after_patch_tuesday", 28, "got 28"),
        ("days_after_patch_tuesday", "6", "got '6'"),
        ("also_on_publish", "yes", "write true"),
        ("every", "day", "unknown key"),
    ],
)
def test_a_wrong_value_of_a_schedule_is_named(key: str, value: object, message: str) -> None:
    problems = problems_in(with_image(schedule={**WEEKLY, key: value}))
    assert any(str(one).startswith(f"images[0].schedule.{key}") and message in str(one) for one in problems), problems


def test_a_schedule_says_on_which_days_in_one_way() -> None:
    problem = the_problem_in(with_image(schedule={**WEEKLY, "days_after_patch_tuesday": 1}))
    assert problem.startswith("images[0].schedule.recurrence: only one of recurrence and days_after_patch_tuesday")


def test_a_schedule_without_days_is_refused() -> None:
    problem = the_problem_in(with_image(schedule={"zone": "UTC", "start": "20:00"}))
    assert problem.startswith("images[0].schedule: does not say on which days")


@pytest.mark.parametrize("key", ["zone", "start"])
def test_a_schedule_says_where_and_when(key: str) -> None:
    schedule = {name: value for name, value in WEEKLY.items() if name != key}
    assert the_problem_in(with_image(schedule=schedule)) == f"images[0].schedule.{key}: is missing"


# -------------------------------------------------------------------------------------------------------- replication


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("vms_per_replica", 0, "expected a whole number, at least 1, got 0"),
        ("vms_per_replica", "20", "got '20'"),
        ("raise_replicas", "yes", "write true"),
    ],
)
def test_a_wrong_value_of_the_replication_is_named(key: str, value: object, message: str) -> None:
    problems = problems_in(with_image(replication={key: value}))
    assert any(str(one).startswith(f"images[0].replication.{key}") and message in str(one) for one in problems)


def test_what_to_do_about_a_missing_region_is_read() -> None:
    replication = {"on_missing": "wait", "on_missing_in": {"West Europe": "halt"}, "approved_regions": ["westeurope"]}
    (image,) = read(with_image(replication=replication)).images
    assert image.replication.on_missing_in == {"West Europe": "halt"}


@pytest.mark.parametrize(
    ("replication", "key", "message"),
    [
        ({"on_missing": "stop"}, "on_missing", "expected one of wait, go_on, halt"),
        ({"on_missing_in": {"uksouth": "goon"}}, "on_missing_in.uksouth", "did you mean 'go_on'?"),
        ({"on_missing_in": ["uksouth"]}, "on_missing_in", "expected keys and values"),
        ({"approved_regions": "uksouth"}, "approved_regions", "expected a list"),
    ],
)
def test_a_wrong_decision_about_regions_is_named(replication: Any, key: str, message: str) -> None:
    problem = the_problem_in(with_image(replication=replication))
    assert problem.startswith(f"images[0].replication.{key}: ")
    assert message in problem


def test_a_required_region_must_be_an_approved_one() -> None:
    replication = {"regions": ["West Europe", "eastus"], "approved_regions": ["westeurope"]}
    problem = the_problem_in(with_image(replication=replication))
    assert problem.startswith("images[0].replication.regions[1]: a version can never be in eastus")


# ------------------------------------------------------------------------------------------------------- which image

MARKETPLACE = {"publisher": "MicrosoftWindowsDesktop", "offer": "office-365", "sku": "win11-24h2-avd-m365"}


def of_source(**source: Any) -> dict[str, Any]:
    """A file whose image says this instead of a gallery image definition."""
    file = a_file()
    file["images"] = [{"name": "office", **source}]
    return file


def test_an_image_of_the_marketplace_is_followed_unless_a_version_is_named() -> None:
    (image,) = read(of_source(marketplace=MARKETPLACE)).images
    assert image.definition == "MicrosoftWindowsDesktop:office-365:win11-24h2-avd-m365"
    assert image.only_version == ""

    (image,) = read(of_source(marketplace={**MARKETPLACE, "version": "26100.4061.250506"})).images
    assert image.only_version == f"{image.definition}:26100.4061.250506"


def test_one_version_of_a_gallery_may_be_named() -> None:
    (image,) = read(of_source(version_id=VERSION)).images
    assert (image.only_version, image.definition) == (VERSION, VERSION.rpartition("/versions/")[0].lower())


@pytest.mark.parametrize(
    ("source", "key", "message"),
    [
        ({}, "definition_id", "is missing: one of definition_id, version_id, marketplace says which image"),
        ({"version_id": VERSION, "marketplace": MARKETPLACE}, "marketplace", "there is version_id"),
        ({"version_id": VERSION.rpartition("/versions/")[0]}, "version_id", "expected the id of one gallery image"),
        ({"definition_id": VERSION}, "definition_id", "or say version_id instead"),
        ({"definition_id": "a:b:c"}, "definition_id", "expected the id of a gallery image definition"),
        ({"marketplace": {**MARKETPLACE, "version": "24h2"}}, "marketplace.version", "expected latest, or a version"),
        ({"marketplace": {**MARKETPLACE, "sku": "win 11"}}, "marketplace.sku", "got 'win 11'"),
        ({"marketplace": {"publisher": "p", "offer": "o"}}, "marketplace.sku", "is missing"),
    ],
)
def test_a_wrong_source_is_named(source: dict[str, Any], key: str, message: str) -> None:
    problems = problems_in(of_source(**source))
    assert any(str(one).startswith(f"images[0].{key}: ") and message in str(one) for one in problems), problems


def test_the_age_of_a_marketplace_version_cannot_be_asked_for() -> None:
    problem = the_problem_in(of_source(marketplace=MARKETPLACE, schedule={**WEEKLY, "min_age": "P2D"}))
    assert problem.startswith("images[0].schedule.min_age: Azure does not tell when a version was published")


@pytest.mark.parametrize(
    "other", [{"version_id": VERSION}, {"definition_id": VERSION.rpartition("/versions/")[0].upper()}]
)
def test_two_images_of_one_definition_are_refused_in_whichever_way_they_say_it(other: dict[str, str]) -> None:
    file = a_file()
    file["images"].append({"name": "again", **other})
    assert "an image definition is rolled out once" in the_problem_in(file)


def test_one_marketplace_image_under_two_names_is_refused() -> None:
    file = of_source(marketplace=MARKETPLACE)
    file["images"].append({"name": "again", "marketplace": {**MARKETPLACE, "offer": "Office-365"}})
    assert "an image definition is rolled out once" in the_problem_in(file)


def test_latest_cannot_be_earned_by_an_image_of_the_marketplace() -> None:
    problem = the_problem_in(of_source(marketplace=MARKETPLACE, latest="earned"))
    assert problem.startswith("images[0].latest: only its publisher can exclude")
