"""Marketplace images and single versions: who starts them, and what is not started."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from azure.functions.timer import TimerRequest

from rollout.instance_ids import image_instance
from tests.adapters.office import SimulatedOffice
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import Instances, as_client, function_of
from tests.triggers.test_image_published import deliver, event, published
from tests.triggers.test_images import ask
from tests.triggers.test_rollouts import start
from triggers import scheduled_rollouts, schedules

IMAGE = "MicrosoftWindowsDesktop:office-365:win11-24h2-avd-m365"
SOURCE = "{publisher: MicrosoftWindowsDesktop, offer: office-365, sku: win11-24h2-avd-m365}"


def use_marketplace(office: SimulatedOffice, policy_file: PolicyFile, more: str = "") -> None:
    """The office's image is one of the marketplace."""
    definition = f"definition_id: {office.office.definition_id}\n  - name: unused"
    policy_file.replace(definition, f"marketplace: {SOURCE}\n{more}  - name: unused")


def use_version(office: SimulatedOffice, policy_file: PolicyFile, number: str) -> None:
    """The office's image is one version of the gallery."""
    definition = f"definition_id: {office.office.definition_id}\n  - name: unused"
    policy_file.replace(definition, f"version_id: {office.office.version_id(number)}\n  - name: unused")


def offer(office: SimulatedOffice, number: str) -> str:
    office.estate.galleries.marketplace.publish(f"{IMAGE}:{number}")
    return f"{IMAGE}:{number}"


async def run(function: Any, instances: Instances, office: SimulatedOffice) -> None:
    timer = TimerRequest(schedule_status={"Next": office.clock().isoformat()})
    await function_of(function)(timer, as_client(instances))


def started(instances: Instances) -> list[str]:
    return [given["version_id"] for _, _, given in instances.started]


async def test_the_sweep_starts_the_newest_version_of_the_marketplace_once(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    use_marketplace(office, policy_file)
    old, new = offer(office, "26100.9.1"), offer(office, "26100.10.1")
    await run(schedules.sweep, instances, office)
    await run(schedules.sweep, instances, office)

    assert started(instances) == [new]
    assert instances.started[0][1] == image_instance(new) != image_instance(old)
    assert instances.started[0][2]["image"]["marketplace"]["offer"] == "office-365"


async def test_a_schedule_starts_the_newest_version_of_the_marketplace_at_its_time(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    schedule = 'schedule: {zone: UTC, recurrence: FREQ=DAILY, start: "20:00"}'
    use_marketplace(office, policy_file, more=f"    {schedule}\n")
    new = offer(office, "26100.10.1")
    for function in (schedules.sweep, scheduled_rollouts.start_scheduled):
        await run(function, instances, office)
    assert started(instances) == []

    office.wait(hours=13)
    await run(scheduled_rollouts.start_scheduled, instances, office)
    assert started(instances) == [new]


async def test_a_version_of_the_marketplace_can_be_asked_for(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    use_marketplace(office, policy_file)
    old = offer(office, "26100.9.1")
    offer(office, "26100.10.1")

    assert (await start(instances, version="26100.9.1"))[0] == 202
    assert started(instances) == [old]
    status, problem, _ = await start(instances, version="26100.11.1")
    assert (status, problem["code"]) == (404, "NoSuchVersion")


async def test_no_event_can_announce_a_version_of_the_marketplace(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    use_marketplace(office, policy_file)
    await deliver(instances, event(offer(office, "26100.10.1")))

    assert instances.started == []


def test_a_marketplace_image_has_no_regions_to_compare(office: SimulatedOffice, policy_file: PolicyFile) -> None:
    use_marketplace(office, policy_file)
    status, problem = ask()

    assert (status, problem["code"]) == (404, "NoRegions")


async def test_the_version_that_the_policy_names_is_started_by_the_sweep_however_old(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    use_version(office, policy_file, "1.0.0")
    office.wait(days=100)
    await run(schedules.sweep, instances, office)

    assert [version.lower() for version in started(instances)] == [office.office.version_id("1.0.0").lower()]


async def test_a_newer_version_than_the_one_that_the_policy_names_starts_nothing(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    use_version(office, policy_file, "1.0.0")
    await deliver(instances, published(office))

    assert instances.started == []
    assert "the policy names version 1.0.0 and no other" in caplog.text
    status, problem, _ = await start(instances)
    assert (status, problem["code"]) == (409, "NotThePolicysVersion")


async def test_the_event_of_the_version_that_the_policy_names_starts_it(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    use_version(office, policy_file, "2.0.0")
    office.estate.galleries.version(office.office.version_id("2.0.0")).exclude_from_latest = True
    await deliver(instances, published(office))

    assert started(instances) == [office.office.version_id("2.0.0")]
