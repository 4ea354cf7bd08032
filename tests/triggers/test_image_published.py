"""What an event starts, and what it must not start."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from adapters.errors import StepFailed
from rollout.instance_ids import image_instance
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import Instances, as_client, function_of
from triggers import image_published as module


async def deliver(instances: Instances, event: Any) -> None:
    raw = event if isinstance(event, str) else json.dumps(event)
    await function_of(module.image_published)(raw, as_client(instances))


def event(version_id: str) -> dict[str, Any]:
    return {
        "id": "e1",
        "subject": version_id,
        "eventType": "Microsoft.Resources.ResourceWriteSuccess",
        "data": {"operationName": "Microsoft.Compute/galleries/images/versions/write"},
    }


def published(office: SimulatedOffice, number: str = "2.0.0") -> dict[str, Any]:
    return event(office.office.version_id(number))


async def test_a_published_version_starts_a_rollout_with_everything_pinned(
    office: SimulatedOffice, instances: Instances
) -> None:
    await deliver(instances, published(office))

    ((name, instance_id, given),) = instances.started
    assert name == "roll_out_image"
    assert instance_id == image_instance(office.office.version_id("2.0.0"))
    assert given["version_id"] == office.office.version_id("2.0.0")
    assert given["image"]["name"] == "win11"
    assert [pool["name"] for pool in given["pools"]] == ["office"]


async def test_a_cloud_event_starts_the_same(office: SimulatedOffice, instances: Instances) -> None:
    told = published(office)
    await deliver(
        instances, {**told, "type": told.pop("eventType"), "specversion": "1.0", "source": "/subscriptions/s"}
    )

    assert len(instances.started) == 1


async def test_an_event_in_another_case_starts_the_same_rollout(office: SimulatedOffice, instances: Instances) -> None:
    await deliver(instances, published(office))
    await deliver(instances, event(office.office.version_id("2.0.0").upper()))

    assert len(instances.started) == 1


async def test_a_duplicate_starts_nothing(office: SimulatedOffice, instances: Instances) -> None:
    await deliver(instances, published(office))
    await deliver(instances, published(office))

    assert len(instances.started) == 1


@pytest.mark.parametrize("runtime", ["Completed", "Failed", "Terminated", "Suspended", "Pending"])
async def test_an_event_that_comes_again_after_the_end_starts_nothing(
    office: SimulatedOffice, instances: Instances, runtime: str
) -> None:
    # Durable itself would use the id of an instance that has ended again.
    instances.add(image_instance(office.office.version_id("2.0.0")), runtime=runtime)

    await deliver(instances, published(office))

    assert instances.started == []


async def test_a_newer_version_tells_older_rollouts_of_the_image_to_start_nothing_more(
    office: SimulatedOffice, instances: Instances
) -> None:
    older, newer, other = (image_instance(office.office.version_id(number)) for number in ("1.5.0", "3.0.0", "1.4.0"))
    instances.add(older)
    instances.add(newer)
    instances.add(other, runtime="Completed")
    instances.add(image_instance(office.office.version_id("1.5.0").replace("/images/", "/images/other-")))
    instances.add(f"{older}:office", name="roll_host_pool")
    await deliver(instances, published(office))

    ((told, name, given),) = instances.raised
    assert (told, name) == (older, "command")
    assert given["kind"] == "supersede"
    assert "version 2.0.0" in given["reason"]


async def test_a_delivery_that_was_cut_off_is_made_good_by_the_next(
    office: SimulatedOffice, instances: Instances
) -> None:
    older = image_instance(office.office.version_id("1.5.0"))
    instances.add(older)
    instances.add(image_instance(office.office.version_id("2.0.0")))
    await deliver(instances, published(office))

    assert instances.started == []
    assert [told for told, _, __ in instances.raised] == [older]

    instances.known[older]["customStatus"] = {"command": {"kind": "supersede", "by": "2.0.0"}}
    await deliver(instances, published(office))
    assert len(instances.raised) == 1


async def test_older_rollouts_go_on_where_a_version_is_to_be_finished_first(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace("    image: win11\n", "    image: win11\n    on_newer_version: wait\n")
    instances.add(image_instance(office.office.version_id("1.5.0")))
    await deliver(instances, published(office))

    assert len(instances.started) == 1
    assert instances.raised == []


async def test_two_events_at_the_same_moment_start_one_rollout(office: SimulatedOffice, instances: Instances) -> None:
    instances.racing = True

    await deliver(instances, published(office))

    assert len(instances.known) == 1


async def test_a_start_that_fails_is_not_swallowed(office: SimulatedOffice, instances: Instances) -> None:
    instances.broken = True

    with pytest.raises(Exception, match="500"):
        await deliver(instances, published(office))


async def test_an_old_version_that_somebody_tags_starts_nothing(
    office: SimulatedOffice, instances: Instances, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    await deliver(instances, published(office, "1.0.0"))

    assert instances.started == []
    assert "2.0.0 is newer" in caplog.text


async def test_a_version_excluded_from_latest_waits_until_it_is_not(
    office: SimulatedOffice, instances: Instances
) -> None:
    version = office.office.publish("3.0.0", exclude_from_latest=True)
    await deliver(instances, published(office, "3.0.0"))
    assert instances.started == []

    version.exclude_from_latest = False
    await deliver(instances, published(office, "3.0.0"))
    assert len(instances.started) == 1


async def test_excluded_versions_are_rolled_out_where_the_policy_says_so(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace("name: win11\n", "name: win11\n    include_excluded: true\n")
    office.office.publish("3.0.0", exclude_from_latest=True)

    await deliver(instances, published(office, "3.0.0"))

    assert len(instances.started) == 1


@pytest.mark.parametrize("suffix", ["-other", "-third"])
async def test_an_image_that_no_pool_uses_or_no_policy_knows_starts_nothing(
    office: SimulatedOffice, instances: Instances, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    caplog.set_level(logging.INFO)

    await deliver(instances, event(f"{office.office.definition_id}{suffix}/versions/1.0.0"))

    assert instances.started == []
    assert "is ignored" in caplog.text


async def test_a_version_that_is_gone_when_it_is_looked_at_starts_nothing(
    office: SimulatedOffice, instances: Instances
) -> None:
    await deliver(instances, published(office, "9.9.9"))

    assert instances.started == []


@pytest.mark.parametrize("raw", ["", "{", "[]", "[" * 5000, '{"eventType": "x"}', '{"type": {"a": 1}}'])
async def test_what_is_no_event_is_logged_and_dropped(
    instances: Instances, caplog: pytest.LogCaptureFixture, raw: str
) -> None:
    caplog.set_level(logging.INFO)

    await deliver(instances, raw)

    assert instances.started == []
    assert len(caplog.records) == 1


async def test_a_broken_policy_is_named_in_the_log_and_the_event_left_to_the_sweep(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile, caplog: pytest.LogCaptureFixture
) -> None:
    policy_file.write("images: 3\nhost_pulls: []\n")

    await deliver(instances, published(office))

    assert instances.started == []
    assert "host_pulls" in caplog.text
    assert "goldroll.yaml" in caplog.text


async def test_without_a_policy_file_the_event_is_left_to_the_sweep(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile, caplog: pytest.LogCaptureFixture
) -> None:
    policy_file.delete()

    await deliver(instances, published(office))

    assert instances.started == []
    assert "goldroll.yaml" in caplog.text


async def test_when_azure_cannot_be_read_the_event_is_delivered_again(
    office: SimulatedOffice, instances: Instances
) -> None:
    office.faults.fail_next("GET", "versions/2.0.0", Site.SERVER_ERROR)

    with pytest.raises(StepFailed):
        await deliver(instances, published(office))
    await deliver(instances, published(office))

    assert len(instances.started) == 1
