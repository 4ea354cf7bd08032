"""Image versions changed and deleted through the real client library, against a simulated Azure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.errors import StepFailed
from adapters.gallery_changes import change_version, delete_version
from rollout.retention import RETIRED_TAG
from simulator.faults import Site
from simulator.images import ImageVersion, Takes
from tests.adapters.office import SimulatedOffice
from tests.simulator.arm_types import GALLERIES, patch_problems

AT_ONCE = Takes(timedelta(0))


def published(office: SimulatedOffice, *regions: str) -> ImageVersion:
    takes = dict.fromkeys(regions, AT_ONCE)
    version = office.office.publish("2.0.0", regions, takes=takes)
    office.wait(minutes=1)
    office.requests.clear()
    return version


def sent(office: SimulatedOffice) -> list[tuple[str, Any]]:
    return [(method, body) for method, _, body in office.requests if method != "GET"]


def test_all_of_a_change_is_one_request_with_what_differs_in_it(office: SimulatedOffice) -> None:
    version = published(office, "westeurope", "northeurope")
    version.tags = {"cost-centre": "17"}
    version.replicas["westeurope"].exclude_from_latest = True
    end = datetime.fromisoformat("2027-01-19T03:30:00+00:00")

    change_version(version.id, exclude=True, end_of_life=end, drop_regions=("northeurope",))

    ((method, body),) = sent(office)
    assert method == "PATCH"
    profile = body["properties"]["publishingProfile"]
    assert profile.keys() == {"excludeFromLatest", "endOfLifeDate", "targetRegions"}
    assert profile["endOfLifeDate"] == "2027-01-19T03:30:00Z"
    assert profile["targetRegions"] == [
        {
            "name": "West Europe",
            "regionalReplicaCount": 1,
            "storageAccountType": "Standard_LRS",
            "excludeFromLatest": True,
        }
    ]
    assert patch_problems(GALLERIES, "Microsoft.Compute/galleries/images/versions", body) == []
    assert (version.exclude_from_latest, version.end_of_life, set(version.replicas)) == (True, end, {"westeurope"})
    assert version.tags == {"cost-centre": "17"}


def test_a_version_is_marked_beside_its_other_tags_and_keeps_the_first_mark(office: SimulatedOffice) -> None:
    version = published(office, "westeurope")
    version.tags = {"cost-centre": "17", "goldroll-verdict": "good"}
    first = datetime.fromisoformat("2026-11-24T03:30:00+00:00")

    change_version(version.id, retired_at=first)
    change_version(version.id, retired_at=first + timedelta(days=1))

    ((_, body),) = sent(office)
    assert body == {"tags": {**version.tags, RETIRED_TAG: "2026-11-24T03:30:00Z"}}
    assert version.tags["goldroll-verdict"] == "good"
    assert patch_problems(GALLERIES, "Microsoft.Compute/galleries/images/versions", body) == []


def test_a_second_time_nothing_is_sent(office: SimulatedOffice) -> None:
    version = published(office, "westeurope", "northeurope")
    end = office.clock() + timedelta(days=30)
    change = {"exclude": True, "end_of_life": end, "drop_regions": ("northeurope",)}
    change_version(version.id, **change)  # type: ignore[arg-type]
    office.requests.clear()

    change_version(version.id, **change)  # type: ignore[arg-type]

    assert sent(office) == []


def test_an_answer_that_is_lost_is_an_error_and_the_next_attempt_finds_it_done(office: SimulatedOffice) -> None:
    version = published(office, "westeurope")
    office.faults.fail_next("PATCH", "versions", Site.LOST_RESPONSE)
    with pytest.raises(StepFailed, match="ConnectionLost"):
        change_version(version.id, exclude=True)
    office.requests.clear()

    change_version(version.id, exclude=True)

    assert sent(office) == []
    assert version.exclude_from_latest


def test_a_version_is_put_back_into_latest(office: SimulatedOffice) -> None:
    version = published(office, "westeurope")
    version.exclude_from_latest = True

    change_version(version.id, exclude=False)

    assert not version.exclude_from_latest


def test_the_home_region_stays_even_if_it_is_named(office: SimulatedOffice) -> None:
    version = published(office, "westeurope", "northeurope")

    change_version(version.id, drop_regions=("westeurope", "northeurope"))

    assert set(version.replicas) == {"westeurope"}


def test_azures_refusal_to_leave_a_region_is_an_error(office: SimulatedOffice) -> None:
    version = published(office, "westeurope", "northeurope")
    version.allow_deletion_of_replicated_locations = False

    with pytest.raises(StepFailed, match="does not allow the deletion of replicated locations"):
        change_version(version.id, drop_regions=("northeurope",))


def test_a_version_that_does_not_exist_cannot_be_changed(office: SimulatedOffice) -> None:
    with pytest.raises(StepFailed, match="ResourceNotFound"):
        change_version(office.office.version_id("9.9.9"), exclude=True)


def test_a_version_is_deleted_and_a_second_time_is_fine(office: SimulatedOffice) -> None:
    version = published(office, "westeurope")

    delete_version(version.id)
    delete_version(version.id)
    office.wait(minutes=5)
    delete_version(version.id)

    assert "2.0.0" not in office.estate.galleries.definition(office.office.definition_id).versions


def test_a_version_whose_deletion_azure_blocks_is_an_error(office: SimulatedOffice) -> None:
    version = published(office, "westeurope")
    version.block_deletion_before_end_of_life = True
    version.end_of_life = office.clock() + timedelta(days=1)

    with pytest.raises(StepFailed, match="blocked before its end of life"):
        delete_version(version.id)


def test_the_regions_of_a_version_keep_what_the_library_does_not_know(office: SimulatedOffice) -> None:
    version = published(office, "westeurope", "northeurope", "uksouth")
    version.replicas["northeurope"].count = 4
    version.replicas["northeurope"].storage = "Standard_ZRS"

    change_version(version.id, drop_regions=("uksouth",))

    ((_, body),) = sent(office)
    kept = {target["name"]: target for target in body["properties"]["publishingProfile"]["targetRegions"]}
    assert kept["North Europe"]["regionalReplicaCount"] == 4
    assert kept["North Europe"]["storageAccountType"] == "Standard_ZRS"
