"""The simulated Azure over loopback HTTP: the real clients, the control routes, and events that reach a webhook."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.desktopvirtualization import DesktopVirtualizationMgmtClient

from simulator.arm import Arm
from simulator.builders import MONDAY_MORNING, office_pool
from simulator.clock import ScaledClock
from simulator.estate import Estate
from simulator.faults import Site
from simulator.server import Server
from simulator.transport import AnyoneCredential
from tests.simulator.azure_clients import GROUP, POOL
from tests.simulator.building_hosts import office, pass_time

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    place = office(hosts=3, people=12)
    async with Server(place, Arm(place.estate, page_size=2), port=0) as running:
        yield running


async def ask(server: Server, method: str, path: str, body: object = None) -> tuple[int, Any]:
    async with aiohttp.ClientSession(server.base_url) as client, client.request(method, path, json=body) as answer:
        return answer.status, await answer.json()


async def test_the_real_clients_read_and_change_it_over_http(server: Server) -> None:
    def work() -> tuple[list[str], str]:
        kept: dict[str, Any] = {
            "base_url": server.base_url,
            "authentication_policy": SansIOHTTPPolicy(),
            "polling_interval": 0,
            "retry_total": 0,
        }
        subscription = server._office.subscription
        with (
            ComputeManagementClient(AnyoneCredential(), subscription, **kept) as compute,
            DesktopVirtualizationMgmtClient(AnyoneCredential(), subscription, **kept) as desktop,
        ):
            names = [str(host.name) for host in desktop.session_hosts.list(GROUP, POOL)]
            patch: Any = {"tags": {"a": "b"}}
            compute.virtual_machines.begin_update(GROUP, "avd-000", patch, polling=False)
            return names, str(compute.virtual_machines.get(GROUP, "avd-000").tags)

    names, tags = await asyncio.to_thread(work)
    assert names == [f"{POOL}/avd-000", f"{POOL}/avd-001", f"{POOL}/avd-002"]
    assert tags == "{'a': 'b'}"


async def test_links_to_further_pages_lead_back_to_the_server(server: Server) -> None:
    path = f"{server._office.pool_id}/sessionHosts?api-version=2024-04-03"
    status, body = await ask(server, "GET", path)
    assert status == 200
    assert body["nextLink"].startswith(server.base_url)


async def test_a_lost_response_breaks_the_connection(server: Server) -> None:
    server._office.estate.faults.fail_next("PATCH", "hostPools", Site.LOST_RESPONSE)
    path = f"{server._office.pool_id}?api-version=2024-04-03"
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(server, "PATCH", path, {"tags": {"a": "b"}})
    assert server._office.pool.tags == {"a": "b"}
    status, _ = await ask(server, "GET", path)
    assert status == 200


async def test_the_state_tells_what_there_is(server: Server) -> None:
    place = server._office
    place.estate.machines.patch_tags(place.machine_id("avd-001"), {"goldroll-rollout": "7"})
    place.estate.hosts.update(place.pool_id, "avd-002", allow_new_session=False)
    status, state = await ask(server, "GET", "/simulator/state")
    assert status == 200
    assert [host["name"] for host in state["hosts"]] == ["avd-000", "avd-001", "avd-002"]
    assert state["hosts_by_version"] == {"1.0.0": 3}
    assert state["drained"] == ["avd-002"]
    assert list(state["tagged"]) == [place.machine_id("avd-001")]
    assert (state["orphans"], state["duplicates"], state["ledger"]["forced_sign_outs"]) == ([], [], 0)


async def test_a_version_is_published_with_its_flaws(server: Server) -> None:
    body = {"name": "1.1.0", "takes": {"westeurope": 10}, "flaws": {"unhealthy": True, "degrades_after": 30}}
    status, _ = await ask(server, "POST", "/simulator/versions", body)
    assert status == 200
    version = server._office.estate.galleries.version(server._office.version_id("1.1.0"))
    assert version.flaws.unhealthy
    assert version.flaws.degrades_after == timedelta(minutes=30)
    pass_time(server._office, minutes=10)
    _, state = await ask(server, "GET", "/simulator/state")
    assert state["versions"]["1.1.0"] == {"state": "Succeeded", "replication": "Completed"}


async def test_the_quota_is_set_in_hosts_or_in_cores(server: Server) -> None:
    assert (await ask(server, "POST", "/simulator/quota", {"hosts": 2}))[1]["limit"] == 20
    assert (await ask(server, "POST", "/simulator/quota", {"cores": 64}))[1]["limit"] == 64


async def test_somebody_can_be_made_to_interfere(server: Server) -> None:
    await ask(server, "POST", "/simulator/disturbances", {"kind": "drain_host", "host": "avd-001"})
    assert [host.name for host in server._office.estate.drained_hosts(server._office.pool_id)] == ["avd-001"]
    await ask(server, "POST", "/simulator/disturbances", {"kind": "undrain_host", "host": "avd-001"})
    assert server._office.estate.drained_hosts(server._office.pool_id) == []


async def test_the_journal_is_read_in_portions(server: Server) -> None:
    _, first = await ask(server, "GET", "/simulator/journal")
    pass_time(server._office, hours=3)
    _, second = await ask(server, "GET", f"/simulator/journal?after={first['next']}")
    assert {entry["kind"] for entry in second["entries"]} >= {"signed_in"}
    assert second["next"] == first["next"] + len(second["entries"])


async def test_faults_are_ordered_and_ended(server: Server) -> None:
    path = f"{server._office.pool_id}?api-version=2024-04-03"
    await ask(server, "POST", "/simulator/faults", {"site": "server_error", "path": "hostPools", "times": 5})
    assert (await ask(server, "GET", path))[0] in (500, 503)
    await ask(server, "DELETE", "/simulator/faults")
    assert (await ask(server, "GET", path))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "versions", {"name": "one"}),
        ("POST", "versions", {"name": "1.1.0", "flaws": {"ugly": True}}),
        ("POST", "quota", {"cores": "many"}),
        ("POST", "disturbances", {"kind": "_delete_host"}),
        ("POST", "faults", {"site": "earthquake"}),
        ("POST", "faults", [1]),
        ("GET", "journal?after=x", None),
        ("GET", "nothing", None),
    ],
)
async def test_a_control_request_that_makes_no_sense_is_refused(
    server: Server, method: str, path: str, body: object
) -> None:
    status, answer = await ask(server, method, f"/simulator/{path}", body)
    assert status in (400, 404)
    assert answer["error"]["message"]


class Webhook:
    """A webhook that answers with the statuses it is told to, then with 200, and keeps what it was sent."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.bodies: list[Any] = []
        self.reached = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        status = self._statuses.pop(0) if self._statuses else 200
        if status == 200:
            self.reached.set()
        return web.Response(status=status)


@pytest.fixture
async def webhook() -> AsyncIterator[tuple[Webhook, str]]:
    hook = Webhook(500)
    app = web.Application()
    app.router.add_post("/hook", hook.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield hook, f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await runner.cleanup()


async def test_a_publication_reaches_the_webhook_also_when_it_fails_at_first(webhook: tuple[Webhook, str]) -> None:
    hook, url = webhook
    ten_minutes_a_second = ScaledClock(datetime.now(UTC), MONDAY_MORNING, 600)
    place = office_pool(Estate(ten_minutes_a_second), 1, 0)
    async with Server(place, Arm(place.estate), port=0, webhook=url) as server:
        await ask(server, "POST", "/simulator/versions", {"name": "1.1.0"})
        await asyncio.wait_for(hook.reached.wait(), 30)
    assert [body[0]["data"]["resourceUri"] for body in hook.bodies] == [place.version_id("1.1.0")] * 2


def test_a_scaled_clock_is_a_function_of_real_time() -> None:
    real = datetime(2026, 11, 20, 10, tzinfo=UTC)
    simulated = datetime(2026, 11, 23, 7, tzinfo=UTC)
    clock = ScaledClock(real, simulated, 60, real=lambda: real + timedelta(minutes=2))
    assert clock() == simulated + timedelta(hours=2)


@pytest.mark.parametrize("speed", [0, -1])
def test_a_scaled_clock_runs_forwards(speed: float) -> None:
    now = datetime(2026, 11, 20, 10, tzinfo=UTC)
    with pytest.raises(ValueError, match="more than 0"):
        ScaledClock(now, now, speed)


def test_it_runs_as_a_process_and_stops_when_told() -> None:
    origin = "2026-11-20T10:00:00Z,2026-11-23T07:00:00Z"
    command = [
        sys.executable,
        "-m",
        "simulator",
        "--port",
        "0",
        "--hosts",
        "2",
        "--speed",
        "60",
        "--clock-origin",
        origin,
    ]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        state = asyncio.run(_state_of(url))
        process.terminate()
        process.wait(timeout=20)
    assert [host["name"] for host in state["hosts"]] == ["avd-000", "avd-001"]
    assert datetime.fromisoformat(state["now"]) > datetime(2026, 11, 23, 7, tzinfo=UTC)


async def _state_of(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/simulator/state") as answer:
        found: dict[str, Any] = json.loads(await answer.text())
        return found
