"""The HTTP side: routes, Event Grid deliveries, the management API through the SDK's own client, admin calls."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from localhost import FunctionFinished, Host
from tests.localhost.building import clock_at, host_of, output, start, status

SETTINGS = {"SWEEP": "0 0 3 * * *", "GREETING": "hello"}
NOTIFICATION = {"aeg-event-type": "Notification"}


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with host_of("web", clock_at(), settings=SETTINGS) as running:
        seen().clear()
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def seen() -> Any:
    """What the app's functions noted."""
    return sys.modules["function_app"].seen


async def call(http: aiohttp.ClientSession, host: Host, what: str, instance_id: str = "it", body: Any = None) -> Any:
    """A method of the SDK's client inside the app, by HTTP."""
    async with http.post(f"{host.base_url}/api/client/{what}/{instance_id}", json=body) as response:
        return json.loads(await response.text())


async def deliver(http: aiohttp.ClientSession, host: Host, name: str, body: Any, headers: Any = NOTIFICATION) -> int:
    """Post to the Event Grid webhook; the status."""
    url = f"{host.base_url}/runtime/webhooks/EventGrid?functionName={name}"
    async with http.post(url, json=body, headers=headers) as response:
        return response.status


def event(subject: str, **data: Any) -> dict[str, Any]:
    """An event in Event Grid's own schema."""
    return {
        "id": "1",
        "topic": "/subscriptions/s",
        "subject": subject,
        "eventType": "Microsoft.Resources.ResourceWriteSuccess",
        "eventTime": "2026-03-02T08:00:00.1234567Z",
        "data": data,
        "dataVersion": "2",
    }


async def test_a_function_gets_the_request_and_its_answer_goes_out(host: Host, http: aiohttp.ClientSession) -> None:
    url = f"{host.base_url}/api/echo/J%C3%BCrgen%2FK?a=1"
    async with http.post(url, data="body", headers={"X-Test": "t"}) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert response.headers["X-Answer"] == "yes"
        # The time of its clock, not of this machine: whoever looks at a simulated day reads it from there.
        assert parsedate_to_datetime(response.headers["Date"]) == clock_at().now().replace(microsecond=0)
        assert await response.json() == {
            "name": "Jürgen/K",
            "query": {"a": "1"},
            "method": "POST",
            "body": "body",
            "header": "t",
            "function": "echo",
            "setting": "hello",
        }


@pytest.mark.parametrize(
    ("method", "path", "code", "text"),
    [
        ("GET", "echo/special", 200, "special"),
        ("GET", "optional/a/b", 200, '{"first": "a", "second": "b"}'),
        ("GET", "optional/a", 200, '{"first": "a"}'),
        ("GET", "numbers/12", 201, "12"),
        ("GET", "numbers/twelve", 404, ""),
        ("GET", "nowhere", 404, ""),
        ("DELETE", "echo/special", 404, ""),
        ("GET", "breaks", 500, ""),
    ],
)
async def test_routes(host: Host, http: aiohttp.ClientSession, method: str, path: str, code: int, text: str) -> None:
    async with http.request(method, f"{host.base_url}/api/{path}") as response:
        assert (response.status, await response.text()) == (code, text)


async def test_a_failing_function_is_reported_to_listeners(host: Host, http: aiohttp.ClientSession) -> None:
    heard: list[Any] = []
    host.subscribe(heard.append)
    await http.get(f"{host.base_url}/api/breaks")
    assert [each.error for each in heard if isinstance(each, FunctionFinished)] == ["KeyError: 'oops'"]


async def test_a_started_orchestration_is_found_at_the_urls_of_the_answer(
    host: Host, http: aiohttp.ClientSession
) -> None:
    async with http.post(f"{host.base_url}/api/start/quick/it", json={"a": 1}) as response:
        assert response.status == 202
        urls = await response.json()
        assert response.headers["Location"] == urls["statusQueryGetUri"]
    async with http.get(urls["statusQueryGetUri"]) as response:
        assert (response.status, (await response.json())["runtimeStatus"]) == (202, "Pending")
    await host.run_until()
    async with http.get(urls["statusQueryGetUri"]) as response:
        body = await response.json()
        assert response.status == 200
        assert (body["runtimeStatus"], body["output"], body["input"]) == ("Completed", {"a": 1}, '{"a": 1}')
        assert body["createdTime"] == "2026-03-02T08:00:00Z"
    async with http.delete(urls["purgeHistoryDeleteUri"]) as response:
        assert await response.json() == {"instancesDeleted": 1}
    async with http.get(urls["statusQueryGetUri"]) as response:
        assert (response.status, await response.text()) == (404, "")


async def test_a_second_start_gives_409_and_an_unknown_orchestrator_400(
    host: Host, http: aiohttp.ClientSession
) -> None:
    url = f"{host.base_url}/runtime/webhooks/durabletask/orchestrators"
    codes = []
    for path in ("listener/it", "listener/it", "nobody/it"):
        async with http.post(f"{url}/{path}") as response:
            codes.append(response.status)
    assert codes == [202, 409, 400]


async def test_the_sdks_client_can_do_everything_to_an_instance(host: Host, http: aiohttp.ClientSession) -> None:
    start(host, "listener")
    await host.run_until()
    found = await call(http, host, "status")
    assert (found["runtimeStatus"], found["name"]) == ("Running", "listener")
    assert [each["instanceId"] for each in await call(http, host, "all")] == ["it"]
    assert await call(http, host, "suspend") is None
    await host.run_until()
    assert status(host) == "Suspended"
    await call(http, host, "resume")
    assert await call(http, host, "raise", body={"a": 1}) is None
    await host.run_until()
    assert output(host) == '{"a": 1}'
    assert "is gone" in (await call(http, host, "raise", body=1))["raised"]
    assert await call(http, host, "terminate") is None
    assert (await call(http, host, "rewind"))["raised"].startswith("The rewind operation is only supported")
    await call(http, host, "restart")
    await host.run_until()
    assert status(host) == "Running"
    await call(http, host, "terminate")
    await host.run_until()
    assert status(host) == "Terminated"
    assert (await call(http, host, "purge"))["_instances_deleted"] == 1
    assert await call(http, host, "status") is None
    assert "No instance with ID" in (await call(http, host, "terminate"))["raised"]


async def test_rewind_is_refused_clearly(host: Host, http: aiohttp.ClientSession) -> None:
    start(host, "broken")
    await host.run_until()
    assert (await call(http, host, "rewind"))["raised"].startswith("The local host does not rewind")


async def test_history_names_what_ended(host: Host, http: aiohttp.ClientSession) -> None:
    start(host, "broken")
    await host.run_until()
    url = f"{host.base_url}/durabletask/instances/it?showHistory=true&showHistoryOutput=true"
    async with http.get(url) as response:
        history = (await response.json())["historyEvents"]
    assert [each["EventType"] for each in history] == ["ExecutionStarted", "ExecutionFailed"]


async def test_the_sdks_client_signals_and_reads_entities(host: Host, http: aiohttp.ClientSession) -> None:
    assert (await call(http, host, "entity", "t"))["_entity_exists"] is False
    await call(http, host, "signal", "t", 5)
    await call(http, host, "signal", "t", 6)
    await host.run_until()
    found = await call(http, host, "entity", "t")
    assert (found["_entity_exists"], found["_entity_state"]) == (True, 11)


async def test_a_client_may_wait_for_an_orchestration_while_the_host_works(
    host: Host, http: aiohttp.ClientSession
) -> None:
    async def post() -> tuple[int, str]:
        async with http.post(f"{host.base_url}/api/wait/quick") as response:
            return response.status, await response.text()

    posting = asyncio.create_task(post())
    await host.run_until(posting.done)
    assert await posting == (200, "null")


async def test_purging_by_time_needs_a_time(host: Host, http: aiohttp.ClientSession) -> None:
    start(host, "quick")
    await host.run_until()
    url = f"{host.base_url}/durabletask/instances/"
    async with http.delete(url) as response:
        assert response.status == 400
    async with http.delete(url, params={"createdTimeFrom": "2026-03-03T00:00:00.000000Z"}) as response:
        assert response.status == 404
    async with http.delete(url, params={"createdTimeFrom": "2026-03-02T00:00:00.000000Z"}) as response:
        assert (response.status, await response.json()) == (200, {"instancesDeleted": 1})


async def test_an_event_body_must_be_json(host: Host, http: aiohttp.ClientSession) -> None:
    start(host, "listener")
    url = f"{host.base_url}/durabletask/instances/it/raiseEvent/word"
    for headers, body in [({"Content-Type": "text/plain"}, "1"), ({"Content-Type": "application/json"}, "{")]:
        async with http.post(url, data=body, headers=headers) as response:
            assert response.status == 400


async def test_the_handshakes_of_event_grid_are_answered(host: Host, http: aiohttp.ClientSession) -> None:
    url = f"{host.base_url}/runtime/webhooks/eventgrid?functionName=on_event"
    validation = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "c0de"}}]
    async with http.post(url, json=validation, headers={"aeg-event-type": "SubscriptionValidation"}) as response:
        assert (response.status, await response.json()) == (200, {"validationResponse": "c0de"})
    async with http.options(url, headers={"WebHook-Request-Origin": "eventgrid.azure.net"}) as response:
        assert response.status == 200
        assert response.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"


async def test_events_run_one_function_each(host: Host, http: aiohttp.ClientSession) -> None:
    assert await deliver(http, host, "on_event", [event("/a"), event("/b")]) == 202
    assert await deliver(http, host, "on_raw_event", event("/c")) == 202
    assert seen() == ["/a", "/b", event("/c")]


async def test_cloud_events_reach_functions_of_both_kinds(host: Host, http: aiohttp.ClientSession) -> None:
    cloud = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "/d", "data": {}}
    assert await deliver(http, host, "on_raw_event", cloud) == 202
    assert await deliver(http, host, "on_event", [cloud]) == 202
    assert seen() == [cloud, "/d"]


async def test_one_failing_event_fails_the_delivery_and_the_others_have_run(
    host: Host, http: aiohttp.ClientSession
) -> None:
    assert await deliver(http, host, "on_event", [event("/a", fail=True), event("/b")]) == 500
    assert seen() == ["/b"]


@pytest.mark.parametrize(
    ("name", "body", "headers", "code"),
    [
        ("nobody", [], NOTIFICATION, 404),
        ("echo", [], NOTIFICATION, 404),
        ("on_event", [], {}, 400),
        ("on_event", [], {"aeg-event-type": "Birthday"}, 400),
        ("on_event", [1], NOTIFICATION, 400),
        ("on_event", [], {"aeg-event-type": "Unsubscribe"}, 202),
        ("on_event", [], {"aeg-event-type": "SubscriptionValidation"}, 400),
    ],
)
async def test_odd_deliveries(
    host: Host, http: aiohttp.ClientSession, name: str, body: Any, headers: dict[str, str], code: int
) -> None:
    assert await deliver(http, host, name, body, headers) == code
    assert seen() == []


async def test_a_truncated_delivery_is_refused(host: Host, http: aiohttp.ClientSession) -> None:
    url = f"{host.base_url}/runtime/webhooks/eventgrid?functionName=on_event"
    async with http.post(url, data='[{"id": "1", "subj', headers=NOTIFICATION) as response:
        assert response.status == 400


async def test_an_event_starts_an_orchestration_and_its_duplicate_does_not(
    host: Host, http: aiohttp.ClientSession
) -> None:
    assert await deliver(http, host, "on_event_start", [event("/v1")]) == 202
    assert await deliver(http, host, "on_event_start", [event("/v1")]) == 500, "the SDK raises for the 409"
    assert [each.id for each in host.instances()] == ["v1"]


async def test_timers_can_be_run_by_hand(host: Host, http: aiohttp.ClientSession) -> None:
    codes = []
    for name in ("quarter_hourly", "Sweep", "echo"):
        async with http.post(f"{host.base_url}/admin/functions/{name}", json={}) as response:
            codes.append(response.status)
    assert codes == [202, 202, 404]
    assert seen() == ["on time"]
    assert [each.id for each in host.instances()] == ["swept"]


async def test_the_host_tells_its_state(host: Host, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{host.base_url}/admin/host/status") as response:
        body = await response.json()
    assert (body["state"], body["time"][:10]) == ("Running", "2026-03-02")
    assert "quarter_hourly" in body["functions"]
