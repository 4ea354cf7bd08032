"""Replication: which regions can use a version, which to wait for, which to give up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model import ImageVersion, RegionReplica
from rollout.replication import ReplicationReport, assess

STARTED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DEADLINE = timedelta(hours=6)
BEFORE, AFTER = STARTED + timedelta(hours=1), STARTED + DEADLINE
ID = "/subscriptions/5f3a/resourceGroups/rg/providers/Microsoft.Compute/galleries/gal/images/office/versions/1.2.3"


def replica(state: str, progress: int = 0, *, excluded: bool = False, details: str = "") -> RegionReplica:
    return RegionReplica(state=state, progress=progress, excluded=excluded, details=details)


def a_version(provisioning: str = "Succeeded", **regions: RegionReplica) -> ImageVersion:
    return ImageVersion(id=ID, provisioning=provisioning, regions=regions)


def assess_at(now: datetime, version: ImageVersion | None, *regions: str) -> ReplicationReport:
    return assess(version, regions, STARTED, DEADLINE, now)


READY = replica("Completed", 100)
HALF = replica("Replicating", 37)


def test_a_version_that_is_everywhere_is_ready_everywhere() -> None:
    report = assess_at(BEFORE, a_version(westeurope=READY, northeurope=READY), "westeurope", "northeurope")
    assert (report.ready, report.waiting, report.given_up) == (("westeurope", "northeurope"), (), ())
    assert report.message == "version 1.2.3 is ready in all 2 regions"


def test_each_region_is_judged_by_its_own_replica() -> None:
    report = assess_at(BEFORE, a_version("Updating", westeurope=READY, northeurope=HALF), "westeurope", "northeurope")
    assert (report.ready, report.waiting) == (("westeurope",), ("northeurope",))
    assert (report.regions[1].state, report.regions[1].progress) == ("replicating", 37)
    assert report.message == "version 1.2.3 is ready in 1 of 2 regions: northeurope is at 37 %"


def test_a_failed_region_is_given_up_at_once_with_azures_details() -> None:
    version = a_version(westeurope=READY, northeurope=replica("Failed", 12, details="quota exceeded"))
    report = assess_at(BEFORE, version, "westeurope", "northeurope")
    assert report.given_up == (("northeurope", "replication to northeurope failed: quota exceeded"),)
    assert report.regions[1].state == "failed"
    assert report.ready == ("westeurope",)


def test_a_region_that_is_not_ready_at_the_deadline_is_late_and_given_up() -> None:
    report = assess_at(AFTER, a_version(westeurope=HALF), "westeurope")
    assert report.regions[0].state == "late"
    assert report.given_up == (("westeurope", "westeurope is late: 37 % after 6 h"),)
    assert report.waiting == ()


def test_until_just_before_the_deadline_it_is_waited_for() -> None:
    report = assess_at(AFTER - timedelta(seconds=1), a_version(westeurope=HALF), "westeurope")
    assert report.waiting == ("westeurope",)


def test_a_region_that_is_ready_after_the_deadline_is_ready() -> None:
    assert assess_at(AFTER, a_version(westeurope=READY), "westeurope").ready == ("westeurope",)


def test_a_region_that_is_no_target_yet_may_still_be_added() -> None:
    version = a_version(westeurope=READY)
    assert assess_at(BEFORE, version, "japaneast").waiting == ("japaneast",)
    assert assess_at(BEFORE, version, "japaneast").regions[0].state == "missing"
    assert assess_at(AFTER, version, "japaneast").given_up == (
        ("japaneast", "japaneast is not among the version's target regions after 6 h"),
    )


def test_a_region_where_the_version_is_excluded_from_latest_is_not_ready_though_complete() -> None:
    version = a_version(westeurope=replica("Completed", 100, excluded=True))
    assert assess_at(BEFORE, version, "westeurope").waiting == ("westeurope",)
    ((region, why),) = assess_at(AFTER, version, "westeurope").given_up
    assert (region, why) == ("westeurope", "in westeurope the version is excluded from latest after 6 h")


@pytest.mark.parametrize("word", ["Unknown", "", "Replicating", "Teleporting"])
def test_a_word_that_is_not_known_means_not_ready_yet(word: str) -> None:
    version = a_version(westeurope=replica(word))
    assert assess_at(BEFORE, version, "westeurope").waiting == ("westeurope",)
    assert [region for region, _ in assess_at(AFTER, version, "westeurope").given_up] == ["westeurope"]


def test_regions_are_compared_as_azure_writes_and_as_people_write_them() -> None:
    version = ImageVersion(id=ID, regions={"West Europe": READY})
    assert assess_at(BEFORE, version, "westeurope", "West Europe", "WESTEUROPE").ready == ("westeurope",)


def test_a_version_that_is_gone_gives_every_region_up() -> None:
    report = assess_at(BEFORE, None, "westeurope", "northeurope")
    assert report.version_gone
    assert report.message == "the image version no longer exists"
    assert [region for region, _ in report.given_up] == ["westeurope", "northeurope"]


def test_a_version_that_is_being_deleted_is_as_good_as_gone_even_where_it_is_complete() -> None:
    report = assess_at(BEFORE, a_version("Deleting", westeurope=READY), "westeurope")
    assert report.version_gone
    assert report.ready == ()


def test_one_region_that_failed_makes_the_version_failed_and_yet_the_others_are_judged_by_themselves() -> None:
    version = a_version("Failed", westeurope=READY, northeurope=replica("Failed", 40), japaneast=HALF)
    report = assess_at(BEFORE, version, "westeurope", "northeurope", "japaneast")
    assert (report.ready, report.waiting) == (("westeurope",), ("japaneast",))
    assert report.given_up == (("northeurope", "replication to northeurope failed"),)


def test_a_version_that_failed_and_has_arrived_nowhere_gives_every_region_up_but_is_still_there() -> None:
    report = assess_at(BEFORE, a_version("Failed", westeurope=HALF), "westeurope")
    assert not report.version_gone
    assert report.given_up == (("westeurope", "version 1.2.3 could not be created: its provisioning failed"),)


def test_no_region_at_all_is_no_reason_to_wait() -> None:
    report = assess_at(BEFORE, a_version(westeurope=HALF))
    assert (report.ready, report.waiting, report.given_up) == ((), (), ())
    assert report.message == "version 1.2.3 is needed in no region"


def test_a_deadline_of_hours_and_minutes_is_said_in_both() -> None:
    report = assess(a_version(), ["westeurope"], STARTED, timedelta(minutes=90), AFTER)
    assert report.given_up[0][1].endswith("after 1 h 30 min")


replicas = st.builds(
    replica,
    state=st.sampled_from(["Completed", "Replicating", "Failed", "Unknown", "completed", "New"]),
    progress=st.integers(min_value=0, max_value=100),
    excluded=st.booleans(),
)
names = st.sampled_from(["westeurope", "North Europe", "japaneast", "EastUS"])


@given(
    version=st.none()
    | st.builds(
        ImageVersion,
        id=st.just(ID),
        provisioning=st.sampled_from(["Succeeded", "Updating", "Failed", "Deleting", "Odd"]),
        regions=st.dictionaries(names, replicas),
    ),
    regions=st.lists(names, max_size=6),
    hours=st.floats(min_value=0, max_value=12),
)
def test_every_region_is_ready_waited_for_or_given_up_and_never_two_of_them(
    version: ImageVersion | None, regions: list[str], hours: float
) -> None:
    report = assess(version, regions, STARTED, DEADLINE, STARTED + timedelta(hours=hours))
    parts = [*report.ready, *report.waiting, *(region for region, _ in report.given_up)]
    assert sorted(parts) == sorted({region.lower().replace(" ", "") for region in regions})
    assert hours < 6 or report.waiting == ()
    assert all(region.message for region in report.regions)
    assert report.message
    assert msgspec.convert(msgspec.to_builtins(report), ReplicationReport) == report
