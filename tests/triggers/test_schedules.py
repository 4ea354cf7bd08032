"""The sweep finds what no event has announced, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.functions.timer import TimerRequest

from rollout.instance_ids import image_instance
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import Instances, as_client, function_of
from triggers import schedules
from triggers.schedules import moment_of


async def sweep(instances: Instances, at: datetime) -> None:
    timer = TimerRequest(schedule_status={"Last": "0001-01-01T00:00:00+00:00", "Next": at.isoformat()})
    await function_of(schedules.sweep)(timer, as_client(instances))


async def test_a_version_whose_event_was_lost_is_started(office: SimulatedOffice, instances: Instances) -> None:
    await sweep(instances, office.wait(hours=2))

    assert [started[1] for started in instances.started] == [image_instance(office.office.version_id("2.0.0"))]


async def test_a_version_that_has_been_started_is_left_alone(office: SimulatedOffice, instances: Instances) -> None:
    await sweep(instances, office.wait(hours=2))
    await sweep(instances, office.wait(hours=2))

    assert len(instances.started) == 1


async def test_that_the_last_good_policy_stands_in_is_said_each_time(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile, caplog: pytest.LogCaptureFixture
) -> None:
    await sweep(instances, office.wait(hours=2))
    policy_file.replace("images:", "images: [")
    await sweep(instances, office.wait(hours=1))
    await sweep(instances, office.wait(hours=1))
    policy_file.replace("images: [", "images:")
    await sweep(instances, office.wait(hours=1))

    assert sum(line.startswith("the policy still cannot be used: ") for line in caplog.messages) == 2


async def test_a_version_of_last_week_is_not_dug_out(office: SimulatedOffice, instances: Instances) -> None:
    await sweep(instances, office.wait(days=7))

    assert instances.started == []


async def test_an_older_version_never_stands_in_for_one_that_is_not_complete(
    office: SimulatedOffice, instances: Instances
) -> None:
    office.office.publish("3.0.0")

    await sweep(instances, office.clock())

    assert instances.started == []


async def test_the_newest_is_the_highest_number_not_the_latest_date(
    office: SimulatedOffice, instances: Instances
) -> None:
    office.office.publish_replicated("1.9.0")

    await sweep(instances, office.wait(hours=2))

    assert [started[2]["version_id"] for started in instances.started] == [office.office.version_id("2.0.0")]


async def test_a_version_that_is_held_back_is_passed_over(office: SimulatedOffice, instances: Instances) -> None:
    office.office.publish_replicated("3.0.0").exclude_from_latest = True

    await sweep(instances, office.wait(hours=2))

    assert [started[2]["version_id"] for started in instances.started] == [office.office.version_id("2.0.0")]


async def test_a_broken_policy_is_told_and_nothing_is_started(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile, caplog: pytest.LogCaptureFixture
) -> None:
    policy_file.write("nonsense")

    await sweep(instances, office.clock())

    assert instances.started == []
    assert "goldroll.yaml" in caplog.text


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"Last": "2026-11-20T10:00:00Z", "Next": "2026-11-20T10:15:00Z"}, datetime(2026, 11, 20, 10, 15, tzinfo=UTC)),
        ({"Last": "2026-11-20T10:00:00+01:00", "Next": None}, datetime(2026, 11, 20, 9, 0, tzinfo=UTC)),
        ({"LastUpdated": "2026-11-20T10:00:00.1234567Z"}, datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_the_schedule_tells_the_time(status: dict[str, Any], expected: datetime) -> None:
    assert moment_of(TimerRequest(schedule_status=status)) == expected


@pytest.mark.parametrize("status", [None, {}, {"Last": "0001-01-01T00:00:00"}, {"Next": "soon"}])
def test_without_a_schedule_it_is_the_systems_time(status: Any) -> None:
    assert abs(moment_of(TimerRequest(schedule_status=status)) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_an_azure_that_does_not_answer_leaves_the_version_to_the_next_sweep(
    office: SimulatedOffice, instances: Instances, caplog: pytest.LogCaptureFixture
) -> None:
    office.estate.faults.fail_next("GET", "/versions", Site.SERVER_ERROR)

    await sweep(instances, office.wait(hours=2))
    assert instances.started == []
    assert "cannot list the versions of win11" in caplog.text

    await sweep(instances, office.wait(minutes=15))
    assert len(instances.started) == 1
