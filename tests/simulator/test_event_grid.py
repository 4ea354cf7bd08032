"""Event Grid: what its events look like, and how stubbornly they are delivered."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from simulator.event_grid import Delivery, Schema, Subscription, as_cloud_event, events_of, validation_event
from simulator.galleries import Announcement
from tests.simulator.building_hosts import office, pass_time


def announcement() -> Announcement:
    place = office()
    place.publish("1.1.0")
    pass_time(place, minutes=1)
    return place.estate.galleries.outbox[0]


def try_for(subscription: Subscription, start: datetime, lasts: timedelta, status: int) -> list[datetime]:
    """Post whatever becomes due to a webhook that always answers the same; the moments at which that happened."""
    moments = []
    while (due := subscription.next_due()) is not None and due <= start + lasts:
        for delivery in subscription.due(due):
            moments.append(due)
            subscription.answered(delivery, status, due)
    return moments


def test_an_event_says_which_version_was_written_and_nothing_of_what_is_in_it() -> None:
    told = announcement()
    event = events_of(told)[0]
    assert event["eventType"] == "Microsoft.Resources.ResourceWriteSuccess"
    assert event["data"]["operationName"] == "Microsoft.Compute/galleries/images/versions/write"
    assert event["data"]["resourceUri"] == told.version_id
    assert event["subject"].lower() == told.version_id.lower()
    assert "/resourcegroups/" in event["subject"]
    assert "properties" not in event["data"]


def test_a_template_deployment_causes_two_events_with_one_correlation() -> None:
    deployment, version = events_of(announcement(), by_template=True)
    assert deployment["data"]["operationName"] == "Microsoft.Resources/deployments/write"
    assert deployment["data"]["correlationId"] == version["data"]["correlationId"]
    assert deployment["id"] != version["id"]


def test_a_cloud_event_is_the_same_event() -> None:
    event = events_of(announcement())[0]
    cloud = as_cloud_event(event)
    assert cloud["specversion"] == "1.0"
    assert (cloud["source"], cloud["type"], cloud["data"]) == (event["topic"], event["eventType"], event["data"])
    assert cloud.keys() == {"specversion", "id", "source", "subject", "type", "time", "data"}


def test_a_deletion_is_announced_as_one() -> None:
    place = office()
    place.estate.galleries.delete_version(place.version_id("1.0.0"))
    pass_time(place, minutes=5)
    event = events_of(place.estate.galleries.outbox[0])[0]
    assert event["eventType"] == "Microsoft.Resources.ResourceDeleteSuccess"


def test_a_handshake_carries_a_code() -> None:
    event = validation_event("42", announcement().at)
    assert event["data"]["validationCode"] == "42"


@pytest.mark.parametrize(("schema", "kind"), [(Schema.EVENT_GRID, list), (Schema.CLOUD_EVENTS, dict)])
def test_event_grid_posts_arrays_and_cloud_events_single_objects(schema: Schema, kind: type) -> None:
    told = announcement()
    subscription = Subscription(schema)
    subscription.announce(told)
    delivery = subscription.due(told.at)[0]
    assert isinstance(delivery.body, kind)
    assert delivery.headers["aeg-event-type"] == "Notification"


def test_an_event_that_arrives_is_delivered_once() -> None:
    told = announcement()
    subscription = Subscription()
    subscription.announce(told)
    assert try_for(subscription, told.at, timedelta(days=2), 200) == [told.at]
    assert (subscription.delivered, subscription.dead_letters) == (1, [])


def test_an_event_that_fails_is_tried_again_ever_more_slowly_for_a_day() -> None:
    told = announcement()
    subscription = Subscription()
    subscription.announce(told)
    moments = try_for(subscription, told.at, timedelta(days=3), 500)
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    assert waits[:6] == [10, 30, 60, 300, 600, 1800]
    assert moments[-1] - told.at >= timedelta(hours=23)
    assert len(subscription.dead_letters) == 1


def test_attempts_are_limited() -> None:
    told = announcement()
    subscription = Subscription(max_attempts=3)
    subscription.announce(told)
    assert len(try_for(subscription, told.at, timedelta(days=3), 0)) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 413])
def test_a_webhook_that_refuses_an_event_gets_it_once(status: int) -> None:
    told = announcement()
    subscription = Subscription()
    subscription.announce(told)
    assert len(try_for(subscription, told.at, timedelta(days=3), status)) == 1
    dead: list[Delivery] = subscription.dead_letters
    assert [delivery.outcomes for delivery in dead] == [[status]]


def test_a_share_of_the_events_comes_twice() -> None:
    told = announcement()
    subscription = Subscription(duplicates=1.0)
    subscription.announce(told)
    first = subscription.due(told.at)[0]
    subscription.answered(first, 200, told.at)
    again = subscription.due(told.at + timedelta(seconds=10))
    assert [delivery.id for delivery in again] == [first.id]
