"""Changing a version's regions and replicas: what is sent, and that nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from activities.add_target_regions import add_target_regions
from activities.set_replicas import set_replicas
from adapters.gallery import read_version
from adapters.gallery_regions import add_regions
from rollout.assignments import ReplicaOrder
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice, simulated_office
from tests.simulator.arm_types import GALLERIES, patch_problems
from tests.triggers.durable import function_of

VERSION = "Microsoft.Compute/galleries/images/versions"


@pytest.fixture
def office() -> Iterator[SimulatedOffice]:
    """An office whose version 2.0.0 is in two regions, excluded from latest, with 2 replicas each."""
    with simulated_office() as office:
        office.office.publish("2.0.0", ["westeurope", "northeurope"], replicas=2, exclude_from_latest=True)
        version = office.estate.galleries.version(office.office.version_id("2.0.0"))
        version.replicas["northeurope"].exclude_from_latest = True
        version.replicas["northeurope"].storage = "Standard_ZRS"
        office.wait(hours=2)
        yield office


def ask(function: Any, office: SimulatedOffice, only_if: dict[str, int] | None = None, **replicas: int) -> Any:
    order = {"version_id": office.office.version_id("2.0.0"), "replicas": replicas, "only_if": only_if or {}}
    return function_of(function)(order)


def patches(office: SimulatedOffice) -> list[Any]:
    return [body for method, path, body in office.requests if method == "PATCH" and "/versions/" in path]


def counts(office: SimulatedOffice) -> dict[str, int]:
    version = read_version(office.office.version_id("2.0.0"))
    assert version is not None
    return {name: region.replicas for name, region in version.regions.items()}


def test_replicas_are_set_in_one_region_and_everything_else_stays(office: SimulatedOffice) -> None:
    assert ask(set_replicas, office, westeurope=10) == {"before": {"westeurope": 2}}

    (body,) = patches(office)
    profile = body["properties"]["publishingProfile"]
    assert patch_problems(GALLERIES, VERSION, body) == []
    assert profile["excludeFromLatest"] is True
    assert [(one["name"], one["regionalReplicaCount"]) for one in profile["targetRegions"]] == [
        ("West Europe", 10),
        ("North Europe", 2),
    ]
    assert profile["targetRegions"][1]["excludeFromLatest"] is True
    assert profile["targetRegions"][1]["storageAccountType"] == "Standard_ZRS"
    assert counts(office) == {"westeurope": 10, "northeurope": 2}


def test_a_region_that_has_the_number_already_needs_no_call(office: SimulatedOffice) -> None:
    ask(set_replicas, office, westeurope=10)

    assert ask(set_replicas, office, westeurope=10) == {"before": {}}
    assert len(patches(office)) == 1


def test_replicas_that_somebody_else_has_changed_are_left_alone(office: SimulatedOffice) -> None:
    ask(set_replicas, office, westeurope=30)

    assert ask(set_replicas, office, only_if={"westeurope": 10}, westeurope=2) == {"before": {}}
    assert counts(office)["westeurope"] == 30


def test_a_region_that_is_no_target_is_not_made_one(office: SimulatedOffice) -> None:
    assert ask(set_replicas, office, japaneast=3) == {"before": {}}
    assert set(counts(office)) == {"westeurope", "northeurope"}


def test_the_version_stays_usable_while_more_copies_are_made(office: SimulatedOffice) -> None:
    ask(set_replicas, office, westeurope=10)
    version = read_version(office.office.version_id("2.0.0"))

    assert version is not None
    assert version.regions["westeurope"].state == "Completed"
    office.wait(hours=2)
    assert office.estate.galleries.version(version.id).carries("westeurope") == 200


def test_a_version_that_is_gone_is_an_error_that_is_not_worth_a_retry(office: SimulatedOffice) -> None:
    order = ReplicaOrder(office.office.version_id("9.9.9"), {"westeurope": 2})
    answer = function_of(set_replicas)({"version_id": order.version_id, "replicas": order.replicas})

    assert (answer["error"]["code"], answer["error"].get("retriable", False)) == ("ResourceNotFound", False)


def test_a_refused_change_is_an_error(office: SimulatedOffice) -> None:
    office.faults.fail_next("PATCH", "/versions/", Site.THROTTLED)

    assert ask(set_replicas, office, westeurope=10)["error"]["code"] == "TooManyRequests"
    assert counts(office)["westeurope"] == 2


def test_regions_are_added_like_the_first_one_and_those_that_are_there_stay(office: SimulatedOffice) -> None:
    assert ask(add_target_regions, office, japaneast=3, westeurope=1) == {"added": ["japaneast"]}

    (body,) = patches(office)
    assert patch_problems(GALLERIES, VERSION, body) == []
    assert body["properties"]["publishingProfile"]["targetRegions"][-1] == {
        "name": "japaneast",
        "regionalReplicaCount": 3,
        "storageAccountType": "Standard_LRS",
    }
    assert counts(office) == {"westeurope": 2, "northeurope": 2, "japaneast": 3}


def test_regions_that_are_all_there_need_no_call(office: SimulatedOffice) -> None:
    assert add_regions(office.office.version_id("2.0.0"), {"westeurope": 9}) == ()
    assert patches(office) == []
