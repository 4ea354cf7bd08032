"""Notifications on the wire: what a topic and a webhook get, and what their answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.messaging import CloudEvent
from azure.eventgrid._legacy import EventGridPublisherClient

from activities.send_notifications import send_notifications
from adapters import connect
from adapters.connect import Connection
from adapters.notification_bodies import cloud_event, slack_message, teams_message
from adapters.notifications import MOST_IN_REQUEST, NotDelivered, send, sinks_in_use
from adapters.settings import SecretAddress, SettingsError, read_settings
from rollout.outbox import REFUSED, TOPIC, WEBHOOK, Batch, pack
from rollout.recording import Event
from simulator import receivers
from simulator.receivers import Receiver, Topic
from simulator.transport import AnyoneCredential
from tests.adapters.receivers import transport_to_receivers

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROLLOUT = "image-gal-win11-2.0.0-abc123"
APP = "https://goldroll.example"


class Receivers:
    """The two that are told."""

    def __init__(self) -> None:
        self.topic = Topic(receivers.TOPIC)
        self.webhook = Receiver(receivers.WEBHOOK)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receivers]:
    """A topic and a webhook, and an app that tells them."""
    told = Receivers()
    monkeypatch.setenv("GOLDROLL_TOPIC", told.topic.address)
    monkeypatch.setenv("GOLDROLL_WEBHOOK", told.webhook.address)
    monkeypatch.setenv("GOLDROLL_URL", APP)
    transport = transport_to_receivers(told.topic, told.webhook)
    connect.use(Connection("https://management.azure.com", AnyoneCredential(), transport))
    yield told
    connect.use(None)


def passed(number: int = 1, message: str = "the canary avd-007 has passed") -> Event:
    return Event(NOON, "CanaryPassed", message, number=number)


def batch(*events: Event, sink: str = TOPIC, pool: str = "floor 3/4") -> Batch:
    return Batch(f"{ROLLOUT}:{pool}" if pool else ROLLOUT, "win11", "2.0.0", pool, events or (passed(),), sink)


def ids(receiver: Receiver) -> list[int]:
    return [int(event["id"]) for event in receiver.taken]


def act(order: Batch) -> dict[str, Any]:
    """The activity's answer."""
    function = send_notifications._function._func
    answer: dict[str, Any] = json.loads(json.dumps(function(pack(order))))
    return answer


# ------------------------------------------------------------------------------------------------------- on the wire


def test_a_cloud_event_says_what_has_happened_where_and_where_to_look() -> None:
    asked = Event(NOON, "ApprovalAsked", "ring two waits for an approval of Approver", ring="two", number=17)

    sent = cloud_event(batch(pool=""), asked, APP)

    assert sent == {
        "specversion": "1.0",
        "id": "17",
        "source": f"/goldroll/rollouts/{ROLLOUT}",
        "type": "Goldroll.ApprovalRequested",
        "subject": "images/win11",
        "time": "2026-11-24T12:00:00+00:00",
        "datacontenttype": "application/json",
        "data": {
            "rollout": ROLLOUT,
            "image": "win11",
            "version": "2.0.0",
            "ring": "two",
            "severity": "warning",
            "message": "ring two waits for an approval of Approver",
            "at": "2026-11-24T12:00:00+00:00",
            "links": dict.fromkeys(["page", "approve", "reject"], f"{APP}/api/dashboard?rollout={ROLLOUT}"),
        },
    }


def test_a_pools_name_may_hold_whatever_it_likes() -> None:
    sent = cloud_event(batch(), passed(), APP)

    assert sent["source"] == f"/goldroll/rollouts/{ROLLOUT}%3Afloor%203%2F4"
    assert sent["subject"] == "pools/floor%203%2F4"
    assert sent["data"]["links"]["page"] == f"{APP}/api/dashboard?rollout={ROLLOUT}"


def test_an_app_that_does_not_know_its_address_sends_no_links() -> None:
    assert "links" not in cloud_event(batch(), passed(), "")["data"]
    assert teams_message(batch(), passed(), "")["attachments"][0]["content"]["actions"] == []


def test_the_alerts_of_a_vm_are_about_its_resource_id() -> None:
    started = Event(
        NOON, "HostReplacementStarted", "avd-7 is out", host="avd-7", number=3, resource="/subscriptions/s/vm"
    )

    sent = cloud_event(batch(), started, APP)

    assert (sent["type"], sent["subject"]) == ("Goldroll.HostReplacementStarted", "/subscriptions/s/vm")
    assert sent["data"]["resourceId"] == "/subscriptions/s/vm"


def test_a_run_that_retires_versions_is_no_rollout() -> None:
    retired = Event(NOON, "VersionsRetired", "1 version: 1 deleted; 1.0.0 deleted", by="ada", number=4)
    run = Batch("retire-gal-win11-abcdef", "win11", "", "", (retired,))

    sent = cloud_event(run, retired, APP)

    assert (sent["source"], sent["subject"]) == ("/goldroll/retirements/retire-gal-win11-abcdef", "images/win11")
    assert sent["data"].keys() & {"rollout", "version"} == set()
    assert sent["data"]["links"] == {"page": f"{APP}/api/dashboard"}
    (facts,) = [
        part for part in teams_message(run, retired, APP)["attachments"][0]["content"]["body"] if "facts" in part
    ]
    assert {"title": "Image", "value": "win11"} in facts["facts"]


def test_a_topic_gets_from_azures_own_library_what_it_gets_from_here(told: Receivers) -> None:
    send(batch(passed(1), passed(2)))
    ours = list(told.topic.taken)
    told.topic.taken.clear()

    transport = transport_to_receivers(told.topic)
    client = EventGridPublisherClient(told.topic.address, AnyoneCredential(), transport=transport)
    client.send([CloudEvent.from_dict(event) for event in ours])

    times = [[datetime.fromisoformat(event.pop("time")) for event in sent] for sent in (ours, told.topic.taken)]
    assert ours == told.topic.taken
    assert times[0] == times[1]


def test_a_topic_gets_many_events_in_few_requests(told: Receivers) -> None:
    assert send(batch(*(passed(number) for number in range(1, 251)))) == ()

    assert ids(told.topic) == list(range(1, 251))
    assert told.topic.calls == 3
    assert MOST_IN_REQUEST == 100


def test_a_webhook_gets_one_event_in_each_request_and_no_token_of_azure(told: Receivers) -> None:
    send(batch(passed(1), passed(2), sink=WEBHOOK))

    assert ids(told.webhook) == [1, 2]
    assert told.webhook.calls == 2


# ----------------------------------------------------------------------------------------------- what answers mean


def test_the_one_event_that_a_topic_refuses_is_found_and_the_others_arrive(told: Receivers) -> None:
    told.topic.refuses = "number 66"
    events = [passed(number, f"this is number {number}.") for number in range(1, 101)]

    with pytest.raises(NotDelivered) as failed:
        send(batch(*events))

    assert [event.number for event in failed.value.left] == [66]
    assert failed.value.error.code == REFUSED
    assert sorted(ids(told.topic)) == [number for number in range(1, 101) if number != 66]


def test_a_webhook_that_refuses_one_event_gets_those_behind_it(told: Receivers) -> None:
    told.webhook.refuses = "the second"

    answer = act(batch(passed(1), passed(2, "the second"), passed(3), sink=WEBHOOK))

    assert answer == {
        "error": {"code": REFUSED, "message": "the webhook answers 400", "retriable": False},
        "left": ["2"],
    }
    assert ids(told.webhook) == [1, 3]


@pytest.mark.parametrize("status", [404, 405, 410, 301])
def test_a_webhook_that_is_gone_is_asked_once(told: Receivers, status: int) -> None:
    told.webhook.answers = status

    answer = act(batch(passed(1), passed(2), sink=WEBHOOK))

    assert (answer["error"]["code"], answer["left"]) == (REFUSED, ["1", "2"])
    assert told.webhook.calls == 1


@pytest.mark.parametrize("sink", [TOPIC, WEBHOOK])
def test_a_receiver_that_is_asked_too_often_says_when_to_come_back(told: Receivers, sink: str) -> None:
    receiver: Receiver = getattr(told, sink)
    receiver.answers, receiver.retry_after = 429, 240

    answer = act(batch(passed(1), passed(2), sink=sink))

    assert answer["error"]["retry_after"] == 240
    assert answer["error"]["code"] != REFUSED
    assert receiver.calls == 1


@pytest.mark.parametrize("status", [401, 403, 500, 503, 0])
@pytest.mark.parametrize("sink", [TOPIC, WEBHOOK])
def test_what_somebody_can_put_right_is_no_refusal(told: Receivers, sink: str, status: int) -> None:
    receiver: Receiver = getattr(told, sink)
    receiver.answers = status

    answer = act(batch(sink=sink))

    assert answer["error"]["code"] != REFUSED
    assert answer["left"] == ["1"]


def test_a_slow_webhook_keeps_no_turn_waiting(told: Receivers) -> None:
    seconds = iter(range(0, 100, 4))

    left = send(batch(*(passed(number) for number in range(1, 6)), sink=WEBHOOK), lambda: float(next(seconds)))

    assert ids(told.webhook) == [1, 2]
    assert left is not None
    assert [event.number for event in left] == [3, 4, 5]


def test_a_sink_that_was_switched_off_is_told_nothing(told: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sinks_in_use() == (TOPIC, WEBHOOK)
    monkeypatch.delenv("GOLDROLL_TOPIC")

    assert act(batch()) == {"off": True}
    assert told.topic.calls == 0
    assert sinks_in_use() == (WEBHOOK,)


# ----------------------------------------------------------------------------------------------------- for people

HOSTILE = (
    "[reset](https://evil.example) <https://evil.example|here> <!channel> **now** {{DATE(2026-01-01)}} <b>x</b> `y`"
)


def hostile() -> Event:
    return Event(NOON, "CommandTaken", f"paused by <@U1>: {HOSTILE}", "Paused", by=HOSTILE, number=1)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def test_teams_gets_a_card_in_which_nothing_that_people_wrote_is_markup() -> None:
    sent = teams_message(batch(pool=HOSTILE), hostile(), APP)

    card = sent["attachments"][0]["content"]
    assert sent["type"] == "message"
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    written = [text for text in texts(card["body"]) if "evil" in text]
    assert len(written) == 3
    for text in written:
        assert "](" not in text.replace("\\]", "").replace("\\(", "")
        assert "://" not in text
        assert "**" not in text.replace("\\*", "")
        assert "{{" not in text
        assert "<" not in text
        assert "`" not in text.replace("\\`", "")


def test_slack_gets_a_message_in_which_nothing_that_people_wrote_is_markup() -> None:
    sent = slack_message(batch(pool=HOSTILE), hostile(), APP)

    assert "<" not in sent["text"]
    assert ">" not in sent["text"]
    blocks = [
        part for block in sent["blocks"] for part in [block.get("text"), *block.get("fields", [])] if part is not None
    ]
    assert {part["type"] for part in blocks} == {"plain_text"}


@pytest.mark.parametrize(("make", "buttons"), [(teams_message, "actions"), (slack_message, "elements")])
def test_a_request_for_approval_has_one_button_to_the_page_which_does_nothing_by_itself(
    make: Any, buttons: str
) -> None:
    sent = make(batch(pool=""), Event(NOON, "ApprovalAsked", "ring two waits", ring="two", number=1), APP)

    text = json.dumps(sent)
    assert buttons in text
    assert "Approve or reject" in text
    assert text.count(f"{APP}/api/dashboard?rollout={ROLLOUT}") == 1
    assert "/approve" not in text


def test_slack_takes_what_is_sent_however_long_the_names_are() -> None:
    long = Event(NOON, "CommandTaken", "x" * 5000, "Paused", by="y" * 5000, number=1)

    for block in slack_message(batch(pool="z" * 5000), long, APP)["blocks"]:
        for part in texts(block):
            assert len(part) <= 3000
        assert all(len(field["text"]) <= 2000 for field in block.get("fields", []))


@pytest.mark.parametrize("form", ["teams", "slack"])
def test_a_chat_is_not_told_of_every_vm(told: Receivers, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("GOLDROLL_WEBHOOK_FORMAT", form)
    started = Event(NOON, "HostReplacementStarted", "avd-7 is out", host="avd-7", number=2, resource="/vm")

    assert act(batch(passed(1), started, sink=WEBHOOK)) == {"ok": True}

    assert len(told.webhook.taken) == 1


def test_a_webhook_may_be_told_of_what_is_loud_only(told: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDROLL_WEBHOOK_SEVERITY", "error")
    failed = Event(NOON, "CanaryFailed", "the canary avd-7 failed", number=2)

    send(batch(passed(1), failed, sink=WEBHOOK))
    send(batch(passed(1), failed, sink=TOPIC))

    assert ids(told.webhook) == [2]
    assert ids(told.topic) == [1, 2]


# ------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "value",
    [
        "http://hooks.example/s3cret",
        "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s3cret)",
        "https://",
        "s3cret",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_repeated(value: str) -> None:
    with pytest.raises(SettingsError, match="GOLDROLL_WEBHOOK: expected") as refused:
        read_settings({"GOLDROLL_WEBHOOK": value})

    assert "hooks" not in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_secret_address_shows_itself_nowhere() -> None:
    settings = read_settings({"GOLDROLL_WEBHOOK": receivers.WEBHOOK})

    assert settings.webhook == SecretAddress(receivers.WEBHOOK)
    assert "s3cret" not in f"{settings} {settings!r} {settings.webhook}"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("GOLDROLL_TOPIC", "http://topic.example", "https"),
        ("GOLDROLL_WEBHOOK_FORMAT", "email", "cloudevents, teams, slack"),
        ("GOLDROLL_WEBHOOK_SEVERITY", "loud", "info, warning, error"),
        ("GOLDROLL_URL", "ftp://goldroll.example", "https"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_what_was_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}.*{expected}"):
        read_settings({name: value})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        ({"WEBSITE_HOSTNAME": "goldroll.azurewebsites.net"}, "https://goldroll.azurewebsites.net"),
        ({"WEBSITE_HOSTNAME": "localhost:7071"}, "http://localhost:7071"),
        ({"WEBSITE_HOSTNAME": "a.example", "GOLDROLL_URL": "https://b.example/"}, "https://b.example"),
    ],
)
def test_links_lead_to_the_app(environment: dict[str, str], expected: str) -> None:
    assert read_settings(environment).app_url == expected
