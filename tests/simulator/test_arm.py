"""ARM itself: api versions, error bodies, hostile requests, counting, throttling, polling by hand."""

from __future__ import annotations

import json

import pytest
import requests

from simulator.arm import Arm
from simulator.errors import ConnectionLost
from simulator.faults import AWFUL, Faults, Site
from simulator.transport import session_to
from simulator.wire import Answer
from tests.simulator.azure_clients import GROUP, POOL, Clients, vm_request
from tests.simulator.building_hosts import office

BASE = "https://management.azure.com"
VERSION = "api-version=2026-04-01"


def ask(arm: Arm, method: str, path: str, body: object = None, query: str = VERSION) -> Answer:
    text = body if isinstance(body, bytes) else json.dumps(body) if body is not None else None
    return arm.handle(method, f"{BASE}{path}?{query}", {}, text)


def code(answer: Answer) -> str:
    assert answer.body is not None
    return str(answer.body["error"]["code"])


def test_without_an_api_version_everything_is_a_400() -> None:
    place = office()
    answer = ask(Arm(place.estate), "GET", place.pool_id, query="")
    assert (answer.status, code(answer)) == (400, "MissingApiVersionParameter")


@pytest.mark.parametrize("version", ["latest", "2024", "2024-04-03-beta", "%00"])
def test_an_api_version_is_a_date(version: str) -> None:
    place = office()
    answer = ask(Arm(place.estate), "GET", place.pool_id, query=f"api-version={version}")
    assert (answer.status, code(answer)) == (400, "InvalidApiVersionParameter")


def test_paths_are_read_whatever_their_casing() -> None:
    place = office()
    arm = Arm(place.estate)
    assert ask(arm, "GET", place.pool_id.upper()).status == 200
    assert ask(arm, "GET", place.machine_id("avd-000").lower() + "/InstanceView").status == 200


def test_unknown_types_and_verbs_have_errors_of_their_own() -> None:
    place = office()
    arm = Arm(place.estate)
    assert code(ask(arm, "GET", place.pool_id + "/applicationGroups")) == "InvalidResourceType"
    assert ask(arm, "POST", place.pool_id).status == 405
    assert arm.calls["unknown"] == 2


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe", b'"text"', b"null"])
def test_a_body_that_is_no_object_is_a_400(body: bytes) -> None:
    place = office()
    answer = ask(Arm(place.estate), "PATCH", place.pool_id, body)
    assert (answer.status, code(answer)) == (400, "InvalidRequestContent")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/virtualMachines/avd-010", {}),
        ("PUT", "/virtualMachines/avd-010", {"location": "nowhere", "properties": {}}),
        ("PUT", "/virtualMachines/avd-010", {"location": "westeurope", "properties": {"storageProfile": [1]}}),
        ("PUT", "/virtualMachines/avd-010", {"location": "westeurope", "properties": 7}),
        ("PATCH", "/virtualMachines/avd-000", {"tags": {"a": 1}}),
        ("PUT", "/virtualMachines/avd-000/extensions/x", {"location": "westeurope", "properties": {}}),
        ("PUT", "/virtualMachines/avd-000/extensions/x", {"properties": {"publisher": "p"}}),
        ("PUT", "/virtualMachines/avd-000/runCommands/x", {"location": "westeurope", "properties": {}}),
    ],
)
def test_bodies_that_make_no_sense_are_a_400(method: str, path: str, body: object) -> None:
    place = office()
    root = place.machine_id("x").removesuffix("/virtualMachines/x")
    assert ask(Arm(place.estate), method, root + path, body).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {"properties": {"registrationInfo": {"registrationTokenOperation": "Update", "expirationTime": "soon"}}},
        {"properties": {"registrationInfo": {"registrationTokenOperation": "Update"}}},
        {"properties": {"registrationInfo": {"registrationTokenOperation": "Renew"}}},
        {"properties": {"maxSessionLimit": "many"}},
        {"properties": {"maxSessionLimit": 0}},
        {"properties": {"loadBalancerType": "Fair"}},
    ],
)
def test_changes_of_a_pool_that_make_no_sense_are_a_400(body: object) -> None:
    place = office()
    assert ask(Arm(place.estate), "PATCH", place.pool_id, body).status == 400


@pytest.mark.parametrize(
    "profile",
    [
        {"targetRegions": [{"regionalReplicaCount": 1}]},
        {"targetRegions": [{"name": "Atlantis"}]},
        {"targetRegions": [{"name": "westeurope", "regionalReplicaCount": 101}]},
        {"targetRegions": [{"name": "northeurope"}]},
        {"targetRegions": "westeurope"},
        {"endOfLifeDate": "never"},
    ],
)
def test_publications_that_make_no_sense_are_a_400(profile: object) -> None:
    place = office()
    body = {"location": "westeurope", "properties": {"publishingProfile": profile, "storageProfile": {}}}
    assert ask(Arm(place.estate), "PUT", place.version_id("1.1.0"), body).status == 400


def test_reads_of_a_machine_under_another_subscription_find_nothing() -> None:
    place = office()
    elsewhere = place.machine_id("avd-000").replace(place.subscription, "0" * 8 + "-0000-0000-0000-" + "0" * 12)
    assert code(ask(Arm(place.estate), "GET", elsewhere)) == "ResourceNotFound"


def test_a_list_of_an_unknown_group_is_a_404() -> None:
    place = office()
    root = place.machine_id("x").removesuffix("/x").replace("rg-office", "rg-nowhere")
    assert code(ask(Arm(place.estate), "GET", root)) == "ResourceGroupNotFound"


def test_a_mangled_skip_token_is_a_400() -> None:
    place = office()
    answer = ask(Arm(place.estate), "GET", place.pool_id + "/sessionHosts", query=VERSION + "&$skiptoken=!!")
    assert answer.status == 400


def test_calls_are_counted_by_operation_and_by_status() -> None:
    clients = Clients()
    for _ in range(3):
        clients.compute.virtual_machines.get(GROUP, "avd-000")
    list(clients.desktop.session_hosts.list(GROUP, POOL))
    assert clients.arm.calls == {"virtualMachines.get": 3, "sessionHosts.list": 1}
    assert clients.arm.statuses == {200: 4}


def test_the_location_header_is_polled_until_it_says_200() -> None:
    place = office()
    arm = Arm(place.estate)
    clients = Clients(place)
    accepted = ask(arm, "POST", place.machine_id("avd-000") + "/deallocate")
    assert accepted.status == 202
    location = accepted.headers["Location"]
    assert arm.handle("GET", location, {}).status == 202
    clients.pass_time(minutes=5)
    assert arm.handle("GET", location, {}).status == 200


def test_an_unknown_operation_is_a_404() -> None:
    place = office()
    path = f"/subscriptions/{place.subscription}/providers/Microsoft.Compute/locations/westeurope/operations/nope"
    assert ask(Arm(place.estate), "GET", path).status == 404


def test_a_machine_is_throttled_after_twelve_writes_in_a_row() -> None:
    clients = Clients(throttled=True)
    path = clients.place.machine_id("avd-000")
    statuses = [ask(clients.arm, "PATCH", path, {"tags": {"n": str(n)}}).status for n in range(14)]
    assert statuses == [200] * 12 + [429] * 2
    other = clients.place.machine_id("avd-001")
    assert ask(clients.arm, "PATCH", other, {"tags": {}}).status == 200
    clients.pass_time(seconds=15)
    assert ask(clients.arm, "PATCH", path, {"tags": {}}).status == 200


def test_a_subscription_is_throttled_after_two_hundred_and_fifty_reads_in_a_row() -> None:
    place = office()
    arm = Arm(place.estate, throttled=True)
    answers = [ask(arm, "GET", place.pool_id) for _ in range(251)]
    assert [answer.status for answer in answers].count(200) == 250
    assert (answers[-1].status, code(answers[-1])) == (429, "SubscriptionRequestsThrottled")
    assert answers[0].headers["x-ms-ratelimit-remaining-subscription-reads"] == "249"


def test_an_adapter_refuses_addresses_that_are_not_azures() -> None:
    session = session_to(Arm(office().estate))
    with pytest.raises(requests.exceptions.InvalidSchema):
        session.get("https://example.net/")


def test_whatever_goes_wrong_the_answer_is_an_answer_or_a_broken_connection() -> None:
    place = office(people=20)
    place.estate.faults = place.estate.world.faults = Faults(11, AWFUL)
    arm = Arm(place.estate)
    body = vm_request("avd-010", place.version_id("1.0.0"))
    seen: set[int] = set()
    for _ in range(300):
        for method, path, sent in (
            ("GET", place.pool_id + "/sessionHosts", None),
            ("PUT", place.machine_id("avd-010"), body),
            ("DELETE", place.machine_id("avd-010"), None),
        ):
            try:
                seen.add(ask(arm, method, path, sent).status)
            except ConnectionLost:
                seen.add(0)
    assert seen <= {0, 200, 201, 202, 204, 409, 429, 500, 503}
    assert {0, 429} & seen
    assert place.estate.faults.counts[Site.THROTTLED] + place.estate.faults.counts[Site.LOST_RESPONSE] > 0
