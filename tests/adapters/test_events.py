"""Events as they come, as they should not come, and as somebody hostile would send them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.events import Ignored, ImagePublished, Malformed, read_event

VERSION = (
    "/subscriptions/11111111-2222-4333-8444-555555555555/resourcegroups/rg/providers/Microsoft.Compute"
    "/galleries/gal/images/win11/versions/1.2.3"
)
WRITE = "Microsoft.Compute/galleries/images/versions/write"


def event_grid(**changes: Any) -> dict[str, Any]:
    event = {
        "id": "e1",
        "topic": "/subscriptions/11111111-2222-4333-8444-555555555555",
        "subject": VERSION,
        "eventType": "Microsoft.Resources.ResourceWriteSuccess",
        "eventTime": "2026-11-20T10:00:00.123Z",
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": {"operationName": WRITE, "status": "Succeeded", "resourceUri": VERSION},
    }
    return {**event, **changes}


def cloud_event(**changes: Any) -> dict[str, Any]:
    event = {
        "id": "e1",
        "source": "/subscriptions/11111111-2222-4333-8444-555555555555",
        "subject": VERSION,
        "type": "Microsoft.Resources.ResourceWriteSuccess",
        "specversion": "1.0",
        "time": "2026-11-20T10:00:00.123Z",
        "data": {"operationName": WRITE},
    }
    return {**event, **changes}


def read(event: Any) -> ImagePublished | Ignored | Malformed:
    return read_event(json.dumps(event))


@pytest.mark.parametrize(
    "event",
    [
        event_grid(),
        cloud_event(),
        event_grid(data={}),
        event_grid(subject="", data={"operationName": WRITE, "resourceUri": VERSION}),
        event_grid(data={"operationName": WRITE.upper()}),
        cloud_event(type="Microsoft.ResourceNotifications.Resources.CreatedOrUpdated", data={"resourceInfo": {}}),
    ],
)
def test_a_written_version_is_announced_in_either_schema(event: dict[str, Any]) -> None:
    assert read(event) == ImagePublished(version_id=VERSION, event_id="e1")


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_the_case_of_ids_does_not_matter(case: Any) -> None:
    assert read(event_grid(subject=case(VERSION))) == ImagePublished(version_id=case(VERSION), event_id="e1")


@pytest.mark.parametrize(
    "event",
    [
        event_grid(eventType="Microsoft.Resources.ResourceDeleteSuccess"),
        event_grid(eventType="Microsoft.Storage.BlobCreated"),
        event_grid(subject=VERSION.rsplit("/", 2)[0]),
        event_grid(subject=f"{VERSION}/extra"),
        event_grid(subject=VERSION.replace("1.2.3", "latest")),
        event_grid(subject="/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/avd-001"),
        event_grid(data={"operationName": "Microsoft.Resources/deployments/write"}),
    ],
)
def test_events_about_something_else_are_ignored(event: dict[str, Any]) -> None:
    assert isinstance(read(event), Ignored)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "null",
        "[]",
        "17",
        '"text"',
        "{}",
        '{"type": 7, "eventType": null}',
        '{"eventType": "Microsoft.Resources.ResourceWriteSuccess"}',
        '{"eventType": "Microsoft.Resources.ResourceWriteSuccess", "subject": ["x"], "data": 3}',
        "[" * 100_000,
        '{"a":' * 50_000,
        " " * (1024 * 1024 + 1),
        "\ud800",
    ],
)
def test_what_is_no_event_is_malformed(raw: str) -> None:
    assert isinstance(read_event(raw), Malformed)


@pytest.mark.parametrize("subject", ["/" * 500_000, VERSION * 5_000, "x" * 900_000])
def test_a_subject_of_any_length_is_answered_shortly(subject: str) -> None:
    answer = read(event_grid(subject=subject))

    assert isinstance(answer, Ignored)
    assert len(answer.why) < 1000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine makes no event a bad one
@given(st.dictionaries(st.sampled_from(["id", "subject", "type", "eventType", "data", "specversion"]), json_values))
def test_no_event_whatever_raises(event: dict[str, Any]) -> None:
    assert isinstance(read(event), ImagePublished | Ignored | Malformed)


@given(st.text())
def test_no_text_whatever_raises(raw: str) -> None:
    assert isinstance(read_event(raw), Ignored | Malformed)
