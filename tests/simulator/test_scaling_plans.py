"""Scaling plans: how Azure shows them, and what autoscale does to a pool in each phase of the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from azure.core.rest import HttpRequest
from hypothesis import given
from hypothesis import strategies as st

from rollout.scaling import ScalingSchedule, scaling_plan
from simulator.builders import Office
from simulator.journal import Kind
from simulator.scaling_plans import WEEK, ScalingPlan, Schedule
from simulator.world import AUTOSCALE
from tests.simulator.arm_types import DESKTOP, response_problems
from tests.simulator.azure_clients import GROUP, POOL, Clients
from tests.simulator.building_hosts import new_host, office, pass_time

EVERY_DAY = Schedule("every day", WEEK, time(8), time(10), time(18), time(20), 50, 60, 20, 80)
"""RampUp at 08:00 UTC, an hour after the office's Monday morning begins: until then it is OffPeak."""


def scaled(hosts: int = 10, *, powered_off: int = 0, schedule: Schedule = EVERY_DAY, **options: Any) -> Office:
    return office(hosts, powered_off=powered_off, scaling_schedules=[schedule], **options)


def running(place: Office) -> list[str]:
    return [host.name for host in place.pool.hosts.values() if host.machine is not None and host.machine.running]


def sign_in(place: Office, people: int) -> None:
    for index in range(people):
        place.estate.sessions.sign_in(place.pool_id, f"p{index}@contoso.com")


def exclude(place: Office, *numbers: int, tag: str = "excludeFromScaling") -> None:
    for number in numbers:
        place.estate.machines.patch_tags(place.machine_id(f"avd-{number:03}"), {tag: ""})


def drain(place: Office, *numbers: int) -> None:
    for number in numbers:
        place.estate.hosts.update(place.pool_id, f"avd-{number:03}", allow_new_session=False)


# ----------------------------------------------------------------------------------------------------- the wire format


def test_a_plan_shows_its_schedules_in_azures_words() -> None:
    clients = Clients(scaled(scaling_zone="W. Europe Standard Time"))
    (plan,) = clients.desktop.scaling_plans.list_by_host_pool(GROUP, POOL)
    assert plan.time_zone == "W. Europe Standard Time"
    assert [(one.host_pool_arm_path, one.scaling_plan_enabled) for one in plan.host_pool_references] == [
        (clients.place.pool_id, True)
    ]
    (schedule,) = plan.schedules
    assert schedule.days_of_week == [*WEEK]
    assert (schedule.ramp_up_start_time.hour, schedule.ramp_up_start_time.minute) == (8, 0)
    assert (schedule.ramp_up_minimum_hosts_pct, schedule.ramp_up_capacity_threshold_pct) == (50, 60)
    assert (schedule.ramp_down_minimum_hosts_pct, schedule.ramp_down_capacity_threshold_pct) == (20, 80)
    assert schedule.ramp_down_stop_hosts_when == "ZeroSessions"
    assert schedule.ramp_down_force_logoff_users is False


def test_a_plan_with_schedules_conforms_to_microsofts_types() -> None:
    clients = Clients(scaled())
    url = f"https://management.azure.com{clients.place.pool_id}/scalingPlans?api-version=2024-04-03"
    (body,) = clients.compute.send_request(HttpRequest("GET", url)).json()["value"]
    assert len(body["properties"]["schedules"]) == 1
    assert response_problems(DESKTOP, "Microsoft.DesktopVirtualization/scalingPlans", body) == []


# ------------------------------------------------------------------------------------------------------- what it does


def test_a_plan_without_schedules_does_nothing() -> None:
    place = office(10)
    pass_time(place, hours=48)
    assert len(running(place)) == 10


def test_a_plan_that_is_not_enabled_does_nothing() -> None:
    place = scaled()
    place.estate.pools.scaling_plans(place.pool_id)[0].enabled = False
    pass_time(place, hours=4)
    assert len(running(place)) == 10


def test_off_peak_empty_hosts_are_stopped_down_to_the_minimum() -> None:
    place = scaled()
    pass_time(place, minutes=30)
    assert running(place) == ["avd-000", "avd-001"]
    stopped = list(place.estate.journal.of(Kind.MACHINE_STOPPING))
    assert len(stopped) == 8
    assert {entry.by for entry in stopped} == {AUTOSCALE}


def test_ramp_up_starts_hosts_up_to_its_minimum() -> None:
    place = scaled(powered_off=8)
    pass_time(place, minutes=45)
    assert len(running(place)) == 2
    pass_time(place, minutes=45)
    assert len(running(place)) == 5


def test_a_minimum_is_rounded_up() -> None:
    place = scaled(3, schedule=replace(EVERY_DAY, ramp_down_minimum=34))
    pass_time(place, minutes=30)
    assert len(running(place)) == 2


def test_hosts_are_started_while_more_than_the_threshold_is_used() -> None:
    place = scaled(powered_off=5)
    pass_time(place, hours=1, minutes=30)
    sign_in(place, 35)  # of 50 slots, and the threshold is 60 %
    pass_time(place, minutes=30)
    assert len(running(place)) == 6


def test_no_host_is_stopped_when_the_rest_would_be_used_beyond_the_threshold() -> None:
    place = scaled(4, schedule=replace(EVERY_DAY, ramp_down_minimum=0), max_session_limit=4)
    drain(place, 2, 3)
    sign_in(place, 7)  # seven people on two of four hosts: of three hosts' slots 58 %, of two hosts' 88 %
    for host in ("avd-002", "avd-003"):
        place.estate.hosts.update(place.pool_id, host, allow_new_session=True)
    pass_time(place, minutes=30)
    assert running(place) == ["avd-000", "avd-001", "avd-002"]


def test_a_host_with_a_session_is_never_stopped() -> None:
    place = scaled()
    sign_in(place, 10)
    pass_time(place, minutes=30)
    assert len(running(place)) == 10


def test_hosts_with_the_exclusion_tag_or_in_drain_mode_are_left_alone() -> None:
    place = scaled(schedule=replace(EVERY_DAY, ramp_down_minimum=0))
    exclude(place, 1)
    exclude(place, 2, tag="EXCLUDEFROMSCALING")
    drain(place, 3)
    pass_time(place, minutes=30)
    assert running(place) == ["avd-001", "avd-002", "avd-003"]


def test_excluded_hosts_eat_up_the_minimum_so_that_those_people_could_use_are_stopped() -> None:
    """The complaint that the rollout must live with: MicrosoftDocs/azure-docs issue 94542."""
    place = scaled(schedule=replace(EVERY_DAY, ramp_down_minimum=50))
    exclude(place, 0, 1, 2, 3, 4)
    drain(place, 0, 1, 2, 3, 4)
    pass_time(place, minutes=30)
    assert running(place) == [f"avd-{number:03}" for number in range(5)]
    assert place.estate.accepting_hosts(place.pool_id) == []


def test_excluded_hosts_raise_the_number_of_hosts_that_the_minimum_is_taken_of() -> None:
    place = scaled(10, powered_off=4, schedule=replace(EVERY_DAY, ramp_down_minimum=50))
    exclude(place, 6, 7, 8, 9)
    pass_time(place, minutes=30)
    assert running(place) == [f"avd-{number:03}" for number in range(5)]


def test_a_new_host_is_stopped_again_off_peak_before_anybody_has_used_it() -> None:
    place = scaled(3, schedule=replace(EVERY_DAY, ramp_up=time(16), peak=time(17), ramp_down_minimum=25))
    new_host(place, "avd-100")
    pass_time(place, minutes=30)
    assert running(place) == ["avd-000"]


def test_a_host_whose_disk_cannot_be_kept_is_not_stopped_and_does_not_stop_the_others() -> None:
    place = scaled(4, ephemeral=True)
    pass_time(place, minutes=30)
    assert len(running(place)) == 4


def test_autoscale_looks_every_quarter_of_an_hour() -> None:
    place = scaled(powered_off=8)
    sign_in(place, 17)  # of 20 slots, and the threshold is 80 %
    pass_time(place, minutes=14)
    assert not list(place.estate.journal.of(Kind.MACHINE_STARTING))
    pass_time(place, minutes=1)
    assert len(list(place.estate.journal.of(Kind.MACHINE_STARTING))) == 1


def test_following_a_plan_twice_gives_it_other_schedules_and_not_another_pair_of_hands() -> None:
    place = scaled()
    plan = place.estate.pools.scaling_plans(place.pool_id)[0]
    place.estate.autoscale.follow(plan, [replace(EVERY_DAY, ramp_down_minimum=40)])
    pass_time(place, minutes=30)
    assert len(running(place)) == 4


# --------------------------------------------------------------------------------------------------------- the phases


def a_plan(*schedules: Schedule, time_zone: str = "W. Europe Standard Time") -> ScalingPlan:
    return ScalingPlan("/plan", "plan", "s", "g", "westeurope", "tag", [], time_zone, schedules=schedules)


def read_by_the_core(plan: ScalingPlan, zone: str, now: datetime) -> tuple[str, int]:
    found = scaling_plan(
        plan.name, enabled=True, exclusion_tag="", zone=zone, schedules=_as_read(plan.schedules), now=now
    ).phase
    return (found.kind, found.minimum_percent) if found else ("", 0)


def _as_read(schedules: Sequence[Schedule]) -> list[ScalingSchedule]:
    return [
        ScalingSchedule(
            one.days, one.ramp_up, one.peak, one.ramp_down, one.off_peak, one.ramp_up_minimum, one.ramp_down_minimum
        )
        for one in schedules
    ]


@pytest.mark.parametrize(
    ("hour", "kind"), [(6, "OffPeak"), (7, "RampUp"), (9, "Peak"), (17, "RampDown"), (19, "OffPeak")]
)
def test_a_plan_lives_by_the_wall_of_its_own_zone(hour: int, kind: str) -> None:
    phase = a_plan(EVERY_DAY).phase(datetime(2026, 11, 23, hour, tzinfo=UTC))
    assert phase is not None
    assert phase.kind == kind


@given(
    minutes=st.integers(0, 7 * 24 * 60),
    days=st.lists(st.sampled_from(WEEK), min_size=1, max_size=4, unique=True),
    others=st.lists(st.sampled_from(WEEK), max_size=3, unique=True),
    starts=st.lists(st.integers(0, 24 * 60 - 1), min_size=4, max_size=4, unique=True).map(sorted),
    turned=st.integers(0, 3),
)
def test_autoscale_and_the_rollout_agree_on_the_phase(
    minutes: int, days: list[str], others: list[str], starts: list[int], turned: int
) -> None:
    up, peak, down, off = (time(start // 60, start % 60) for start in starts[turned:] + starts[:turned])
    first = Schedule("first", tuple(days), up, peak, down, off, ramp_up_minimum=30, ramp_down_minimum=10)
    second = Schedule("second", tuple(day for day in others if day not in days))
    plan = a_plan(first, second)
    now = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(minutes=minutes)
    phase = plan.phase(now)
    assert read_by_the_core(plan, "Europe/Berlin", now) == ((phase.kind, phase.minimum) if phase else ("", 0))
