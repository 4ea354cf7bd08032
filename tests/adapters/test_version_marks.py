"""Marks on image versions: the flag and the verdict in one call, everything else as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from activities import mark_version
from adapters.gallery import read_version
from rollout.latest import hold_back, promote, refuse
from rollout.verdicts import Verdict, finding_of, verdict_of
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.durable import function_of

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)


def publish(office: SimulatedOffice, version: str = "2.0.0", **fields: Any) -> str:
    office.office.publish(version, ("westeurope", "northeurope"))
    office.wait(hours=12)
    for name, value in fields.items():
        setattr(office.estate.galleries.version(office.office.version_id(version)), name, value)
    return office.office.version_id(version)


def mark(version_id: str, wanted: Any) -> Any:
    return function_of(mark_version.mark_version)({"version": version_id, "mark": msgspec.to_builtins(wanted)})


def writes(office: SimulatedOffice) -> list[Any]:
    return [body for method, _, body in office.requests if method == "PATCH"]


def test_a_version_is_held_back_with_one_call(office: SimulatedOffice) -> None:
    version = publish(office)

    assert mark(version, hold_back()) == {"ok": True}
    found = read_version(version)
    assert found is not None
    assert found.exclude_from_latest
    assert verdict_of(found.tags) is Verdict.UNPROVEN
    assert len(writes(office)) == 1


def test_a_mark_that_is_there_is_not_written_again(office: SimulatedOffice) -> None:
    version = publish(office)
    for _ in range(3):
        mark(version, hold_back())
    for at in (NOW, LATER):
        mark(version, promote("image-x", "ring people has passed", at))

    assert len(writes(office)) == 2
    found = read_version(version)
    assert found is not None
    assert finding_of(found.tags).at == NOW


def test_a_promotion_clears_the_flag_and_writes_the_verdict_in_one_call(office: SimulatedOffice) -> None:
    version = publish(office, exclude_from_latest=True)
    mark(version, promote("image-x", "ring people has passed", NOW))

    found = read_version(version)
    assert found is not None
    assert not found.exclude_from_latest
    assert verdict_of(found.tags) is Verdict.GOOD
    assert len(writes(office)) == 1


def test_a_refusal_excludes_again_and_replaces_the_verdict(office: SimulatedOffice) -> None:
    version = publish(office)
    mark(version, promote("image-x", "ring people has passed", NOW))
    mark(version, refuse(Verdict.VETOED, "andrea@contoso.com", "printing is broken", LATER))

    found = read_version(version)
    assert found is not None
    assert found.exclude_from_latest
    finding = finding_of(found.tags)
    assert (finding.verdict, finding.by, finding.reason) == (Verdict.VETOED, "andrea@contoso.com", "printing is broken")


def test_a_good_version_that_is_rolled_out_again_keeps_its_place(office: SimulatedOffice) -> None:
    version = publish(office)
    mark(version, promote("image-x", "ring people has passed", NOW))
    mark(version, hold_back())

    found = read_version(version)
    assert found is not None
    assert not found.exclude_from_latest


def test_tags_regions_and_replicas_stay_as_they_are(office: SimulatedOffice) -> None:
    end_of_life = datetime(2027, 11, 20, tzinfo=UTC)
    version = publish(office, tags={"cost-centre": "17"}, end_of_life=end_of_life)
    simulated = office.estate.galleries.version(version)
    simulated.replicas["northeurope"].exclude_from_latest = True
    simulated.replicas["northeurope"].count = 3
    before = read_version(version)
    mark(version, promote("image-x", "ring people has passed", NOW))

    after = read_version(version)
    assert before is not None
    assert after is not None
    assert after.regions == before.regions
    assert after.tags["cost-centre"] == "17"
    assert simulated.end_of_life == end_of_life
    (body,) = writes(office)
    assert "publishedDate" not in body["properties"]["publishingProfile"]


def test_a_version_that_is_gone_needs_no_mark(office: SimulatedOffice) -> None:
    assert mark(office.office.version_id("9.9.9"), hold_back()) == {"ok": True}


def test_what_azure_refuses_comes_back_as_an_error(office: SimulatedOffice) -> None:
    version = publish(office)
    office.faults.fail_next("PATCH", "/versions/", Site.SERVER_ERROR)

    assert mark(version, hold_back())["error"]["code"]
    assert mark(version, hold_back()) == {"ok": True}


@pytest.mark.parametrize("garbage", [{}, {"version": 1}, {"version": "x", "mark": {"kind": "else", "excluded": True}}])
def test_an_order_that_cannot_be_read_is_an_error_and_no_crash(garbage: Any) -> None:
    assert function_of(mark_version.mark_version)(garbage)["error"]["code"] == "Unexpected"
