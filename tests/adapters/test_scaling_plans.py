"""The pool's scaling plan as the adapters read it: once in a while, in Windows' zones, and never in a rollout's way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tzlocal.windows_tz import win_tz

from adapters import scaling_plans
from adapters.scaling_plans import iana_zone, read_scaling
from rollout.model import ScalingPhase, ScalingPlan
from simulator.errors import AzureError
from simulator.faults import Site
from simulator.scaling_plans import Schedule
from tests.adapters.office import EXCLUSION_TAG, SimulatedOffice, simulated_office

# The office's Monday begins at 07:00 UTC, which is 08:00 in Zurich and 02:00 in New York.
SCHEDULE = Schedule(ramp_up_minimum=30, ramp_down_minimum=10)
PEAK = ScalingPhase("Peak", datetime(2026, 11, 23, 8, tzinfo=UTC), 30)
RAMP_UP = ScalingPhase("RampUp", datetime(2026, 11, 23, 6, tzinfo=UTC), 30)
FORBIDDEN = AzureError(403, "AuthorizationFailed", "The client does not have authorization to read scalingPlans.")


def zurich(**options: Any) -> Any:
    return simulated_office(scaling_schedules=[SCHEDULE], scaling_zone="W. Europe Standard Time", **options)


def read(office: SimulatedOffice) -> ScalingPlan | None:
    return read_scaling(office.pool_id, office.clock())


def reads(office: SimulatedOffice) -> int:
    return sum(path.lower().endswith("/scalingplans") for _, path, _ in office.requests)


def a_body(pool_id: str, **properties: Any) -> dict[str, Any]:
    references = [{"hostPoolArmPath": pool_id, "scalingPlanEnabled": True}]
    return {"name": "sp", "properties": {"hostPoolReferences": references, **properties}}


def test_a_plan_is_read_with_its_tag_its_phase_and_the_next_one() -> None:
    with zurich() as office:
        assert read(office) == ScalingPlan("sp-office", True, EXCLUSION_TAG, RAMP_UP, PEAK)


def test_the_picture_of_a_pool_holds_its_plan() -> None:
    with zurich() as office:
        assert office.look().scaling == read(office)


def test_a_pool_without_a_plan_has_none() -> None:
    with simulated_office(exclusion_tag="") as office:
        assert read(office) is None


def test_a_plan_without_schedules_is_named_with_its_tag(office: SimulatedOffice) -> None:
    assert read(office) == ScalingPlan("sp-office", True, EXCLUSION_TAG)


def test_a_plan_that_is_switched_off_for_the_pool_is_named_as_such() -> None:
    with zurich() as office:
        office.estate.pools.scaling_plans(office.pool_id)[0].enabled = False
        assert read(office) == ScalingPlan("sp-office", False, EXCLUSION_TAG)


def test_a_plan_names_the_pool_in_any_case() -> None:
    with zurich() as office:
        office.estate.pools.scaling_plans(office.pool_id)[0].pools = [office.pool_id.upper()]
        plan = read(office)
        assert plan is not None
        assert plan.enabled


def test_a_plan_is_read_once_in_half_an_hour() -> None:
    with zurich() as office:
        office.look()
        office.wait(minutes=29)
        assert reads(office) == 1
        office.look()
        assert reads(office) == 1
        office.wait(minutes=1)
        office.look()
        assert reads(office) == 2


def test_the_phase_is_that_of_now_however_long_ago_the_plan_was_read() -> None:
    with zurich() as office:
        office.wait(minutes=45)
        read(office)
        office.wait(minutes=15)
        plan = read(office)
        assert reads(office) == 1
        assert plan is not None
        assert plan.phase == PEAK


def test_a_clock_that_goes_back_reads_again() -> None:
    with zurich() as office:
        read(office)
        read_scaling(office.pool_id, office.clock() - timedelta(minutes=1))
        assert reads(office) == 2


def test_another_azure_shares_nothing_with_the_one_before() -> None:
    with zurich() as office:
        read(office)
    with simulated_office(exclusion_tag="") as office:
        assert read(office) is None


@pytest.mark.parametrize("outcome", [FORBIDDEN, Site.LOST_REQUEST, Site.THROTTLED, Site.SERVER_ERROR])
def test_a_plan_that_cannot_be_read_stops_nothing_and_is_said_once(
    outcome: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with zurich() as office:
        office.faults.fail_next("GET", "/scalingPlans", outcome, times=2)
        assert office.look().scaling is None
        office.look()
        office.wait(minutes=30)
        assert office.look().scaling is None
        assert reads(office) == 2
        (said,) = [record.message for record in caplog.records if "scaling plan" in record.message]
        assert office.pool_id in said
        office.wait(minutes=30)
        assert office.look().scaling is not None


def test_what_was_read_before_holds_until_it_can_be_read_again() -> None:
    with zurich() as office:
        read(office)
        office.wait(minutes=30)
        office.faults.fail_next("GET", "/scalingPlans", Site.SERVER_ERROR, times=1)
        plan = read(office)
        assert reads(office) == 2
        assert plan is not None
        assert plan.exclusion_tag == EXCLUSION_TAG


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"schedules": None},
        {"schedules": [{}]},
        {"schedules": ["weekdays"], "timeZone": 1},
        {"schedules": [{"daysOfWeek": "Monday", "rampUpStartTime": {"hour": 25, "minute": 0}}]},
        {"schedules": [{"daysOfWeek": ["Monday"], "rampUpStartTime": "07:00"}], "timeZone": "Mars Standard Time"},
    ],
)
def test_a_plan_that_nobody_understands_is_named_all_the_same(properties: dict[str, Any]) -> None:
    body = a_body("/pool", exclusionTag="no", **properties)
    assert scaling_plans.as_it_acts(body, "/pool", datetime(2026, 11, 23, 7, tzinfo=UTC)) == ScalingPlan(
        "sp", True, "no"
    )


def test_of_several_plans_the_one_that_is_enabled_acts() -> None:
    with zurich() as office:
        first = office.estate.pools.scaling_plans(office.pool_id)[0]
        first.enabled = False
        office.estate.pools.add_scaling_plan(first.id + "2", "westeurope", "other", [office.pool_id])
        assert read(office) == ScalingPlan("sp-office2", True, "other")


def test_every_windows_zone_is_one_that_python_knows() -> None:
    assert {name: ZoneInfo(iana_zone(name)).key for name in win_tz} == win_tz
    assert iana_zone("W. Europe Standard Time") == "Europe/Berlin"
    assert iana_zone("Europe/Zurich") == "Europe/Zurich"
