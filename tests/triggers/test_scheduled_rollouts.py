"""Images with a schedule: what a timer starts, what an event does not, and what is remembered."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import Any

import azure.functions as func
import pytest
from azure.functions.timer import TimerRequest

from rollout.instance_ids import image_instance, image_key
from rollout.schedules import ScheduleMemory, memory_of
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import Instances, as_client, function_of
from tests.triggers.test_image_published import deliver, published
from triggers import images, scheduled_rollouts, schedules

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def every_evening(policy_file: PolicyFile, caplog: pytest.LogCaptureFixture) -> None:
    """The office's image is rolled out at 20:00 UTC each day, versions that are a day old."""
    caplog.set_level(logging.INFO)
    write(policy_file, 'zone: UTC, recurrence: FREQ=DAILY, start: "20:00", min_age: P1D')


def write(policy_file: PolicyFile, schedule: str) -> None:
    policy_file.replace("name: win11\n", f"name: win11\n    schedule: {{{schedule}}}\n")


async def look(instances: Instances, at: datetime) -> None:
    timer = TimerRequest(schedule_status={"Next": at.isoformat()})
    await function_of(scheduled_rollouts.start_scheduled)(timer, as_client(instances))


async def sweep(instances: Instances, at: datetime) -> None:
    timer = TimerRequest(schedule_status={"Next": at.isoformat()})
    await function_of(schedules.sweep)(timer, as_client(instances))


def at_eight(office: SimulatedOffice, days: int = 1) -> datetime:
    """20:00, so many evenings from now."""
    return office.clock().replace(hour=20, minute=0, second=0, microsecond=0) + days * DAY


def memory(instances: Instances) -> ScheduleMemory:
    return memory_of(instances.entities.get(("image_schedule", image_key("win11"))))


async def test_a_version_that_is_old_enough_is_started_at_the_time(
    office: SimulatedOffice, instances: Instances, caplog: pytest.LogCaptureFixture
) -> None:
    await look(instances, at_eight(office, days=1) - HOUR)
    assert instances.started == []

    await look(instances, at_eight(office, days=1))

    assert [started[1] for started in instances.started] == [image_instance(office.office.version_id("2.0.0"))]
    assert "it starts image-" in memory(instances).outcome
    assert memory(instances).outcome in caplog.text


async def test_a_version_that_is_too_young_gives_way_to_the_one_before(
    office: SimulatedOffice, instances: Instances
) -> None:
    await look(instances, office.clock())
    evening = at_eight(office, days=2)
    office.wait(days=2, hours=2)
    office.office.publish_replicated("3.0.0")

    await look(instances, evening)

    assert [started[1] for started in instances.started] == [image_instance(office.office.version_id("2.0.0"))]


async def test_looks_that_come_again_start_nothing_again(office: SimulatedOffice, instances: Instances) -> None:
    await look(instances, office.clock())
    for minutes in (0, 0, 15, 30):
        await look(instances, at_eight(office, days=2) + timedelta(minutes=minutes))

    assert len(instances.started) == 1


async def test_a_look_that_was_cut_off_before_it_was_remembered_is_taken_again_to_the_same_end(
    office: SimulatedOffice, instances: Instances
) -> None:
    await look(instances, office.clock())
    before = dict(instances.entities)
    await look(instances, at_eight(office, days=2))
    instances.entities = before
    await look(instances, at_eight(office, days=2) + timedelta(minutes=15))

    assert len(instances.started) == 1
    assert "2.0.0 has been started before" in memory(instances).outcome


async def test_the_next_evening_has_nothing_new(office: SimulatedOffice, instances: Instances) -> None:
    await look(instances, office.clock())
    await look(instances, at_eight(office, days=2))
    await look(instances, at_eight(office, days=3))

    assert len(instances.started) == 1
    assert memory(instances).last == at_eight(office, days=3)


async def test_no_version_that_is_old_enough_is_said(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace("min_age: P1D", "min_age: P90D")
    await look(instances, office.clock())
    await look(instances, at_eight(office))

    assert instances.started == []
    assert memory(instances).outcome.endswith("there is no version that had been published PT2160H before")


async def test_a_week_without_the_app_is_caught_up_by_one_rollout(
    office: SimulatedOffice, instances: Instances
) -> None:
    await look(instances, office.clock())
    await look(instances, at_eight(office, days=7) + 5 * HOUR)

    assert len(instances.started) == 1
    assert "missed and is caught up once" in memory(instances).outcome


async def test_a_week_without_the_app_is_let_go_where_the_policy_says_so(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace("min_age: P1D", "min_age: P1D, missed: skip")
    await look(instances, office.clock())
    await look(instances, at_eight(office, days=7) + 5 * HOUR)

    assert instances.started == []
    assert "is skipped" in memory(instances).outcome


async def test_versions_that_cannot_be_listed_are_listed_at_the_next_look(
    office: SimulatedOffice, instances: Instances
) -> None:
    await look(instances, office.clock())
    office.faults.fail_next("GET", "/versions", Site.SERVER_ERROR)
    await look(instances, at_eight(office, days=2))
    assert (instances.started, memory(instances).last) == ([], None)

    await look(instances, at_eight(office, days=2) + timedelta(minutes=15))
    assert len(instances.started) == 1


async def test_a_schedule_that_is_edited_begins_anew(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    await look(instances, office.clock())
    policy_file.replace('"20:00"', '"06:00"')

    await look(instances, at_eight(office, days=2) + HOUR)
    assert instances.started == []

    await look(instances, at_eight(office, days=2) + 10 * HOUR)
    assert len(instances.started) == 1


async def test_an_event_starts_nothing_and_says_why(
    office: SimulatedOffice, instances: Instances, caplog: pytest.LogCaptureFixture
) -> None:
    await deliver(instances, published(office))

    assert instances.started == []
    assert "win11 2.0.0 waits for the schedule: FREQ=DAILY at 20:00, UTC" in caplog.text


async def test_the_sweep_does_not_take_it_for_a_missed_event(office: SimulatedOffice, instances: Instances) -> None:
    await sweep(instances, office.clock())

    assert instances.started == []


async def test_an_event_starts_at_once_where_the_policy_says_both(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace("min_age: P1D", "min_age: P1D, also_on_publish: true")
    await deliver(instances, published(office))
    await look(instances, office.clock())
    await look(instances, at_eight(office, days=2))

    assert len(instances.started) == 1
    assert "2.0.0 has been started before" in memory(instances).outcome


async def test_a_policy_that_was_broken_by_an_edit_is_said_and_the_last_good_one_keeps_its_schedule(
    instances: Instances, policy_file: PolicyFile, office: SimulatedOffice, caplog: pytest.LogCaptureFixture
) -> None:
    await look(instances, office.clock())
    policy_file.write("images: 3\n")
    await look(instances, at_eight(office, days=2))

    assert memory(instances).last == at_eight(office, days=2)
    assert "the policy cannot be used, and the last good one stays in use" in caplog.text


async def test_a_start_that_fails_is_seen_and_tried_again_and_holds_up_no_other_image(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace(
        "name: unused\n", 'name: unused\n    schedule: {zone: UTC, recurrence: FREQ=DAILY, start: "20:00"}\n'
    )
    await look(instances, office.clock())
    instances.broken = True
    with pytest.raises(ExceptionGroup):
        await look(instances, at_eight(office, days=2))
    others = memory_of(instances.entities["image_schedule", image_key("unused")])
    assert (memory(instances).last, others.last) == (None, at_eight(office, days=2))

    instances.broken = False
    await look(instances, at_eight(office, days=2) + timedelta(minutes=15))
    assert len(instances.started) == 1


# ------------------------------------------------------------------------------------------------------ the HTTP API


async def ask(instances: Instances, name: str = "win11", **params: str) -> tuple[int, Any]:
    url = f"http://127.0.0.1:7071/api/images/{name}/schedule"
    request = func.HttpRequest(method="GET", url=url, body=b"", params=params, route_params={"name": name})
    response = await function_of(images.show_schedule)(request, as_client(instances))
    return response.status_code, json.loads(response.get_body())


async def test_the_next_five_runs_are_shown_in_the_zone_and_in_utc(
    instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace("zone: UTC, recurrence: FREQ=DAILY", "zone: Europe/Zurich, days_after_patch_tuesday: 6")
    status, body = await ask(instances, **{"from": "2026-09-20T00:00:00Z"})

    assert status == 200
    assert body["schedule"] == "6 days after Patch Tuesday at 20:00, Europe/Zurich"
    assert body["last"] is None
    assert len(body["next"]) == 5
    assert body["next"][:2] == [
        {"local": "2026-10-19T20:00:00+02:00", "utc": "2026-10-19T18:00:00Z"},
        {"local": "2026-11-16T20:00:00+01:00", "utc": "2026-11-16T19:00:00Z"},
    ]


async def test_what_came_of_the_last_run_is_shown(office: SimulatedOffice, instances: Instances) -> None:
    await look(instances, office.clock())
    await look(instances, at_eight(office, days=2))
    _, body = await ask(instances)

    assert body["last"]["utc"] == f"{at_eight(office, days=2):%Y-%m-%dT%H:%M:%SZ}"
    assert "is due: it starts image-" in body["last"]["outcome"]


@pytest.mark.parametrize(
    ("name", "params", "status", "code"),
    [
        ("win12", {}, 404, "UnknownImage"),
        ("unused", {}, 404, "NoSchedule"),
        ("win11", {"from": "tomorrow"}, 400, "BadRequest"),
    ],
)
async def test_what_cannot_be_shown_is_said(
    instances: Instances, name: str, params: dict[str, str], status: int, code: str
) -> None:
    answered, problem = await ask(instances, name, **params)

    assert (answered, problem["code"]) == (status, code)


async def test_a_policy_that_cannot_be_used_is_a_problem(instances: Instances, policy_file: PolicyFile) -> None:
    policy_file.write("images: 3\n")

    assert (await ask(instances))[0] == 503
