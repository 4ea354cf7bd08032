"""The whole app on the local host: from an event over HTTP to the last host, with nothing secret left anywhere."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters import connect
from adapters.permissions import actions_of
from demo.access import least_privilege
from localhost import ActivityFinished, Host, LogLine, VirtualClock
from localhost.events import HostEvent
from rollout.model import AGENT_EXTENSION, Phase
from rollout.policy_file import read_policy
from simulator.access import Access
from simulator.builders import MONDAY_MORNING, Office, office_pool
from simulator.estate import Estate
from simulator.transport import AnyoneCredential, transport_to
from tests.adapters.office import SUBNET, RecordingArm

ROOT = Path(__file__).resolve().parent.parent

POLICY = """
images:
  - name: win11
    definition_id: {definition}
host_pools:
  - name: office
    host_pool_id: {pool}
    image: win11
    scaling_exclusion_tag: excludeFromScaling
    canary: {{bake: PT10M}}
    session_host:
      name_prefix: avd
      subnet_id: {subnet}
      join: {{type: entra}}
"""


@dataclass
class World:
    """The office, its Azure and the host that runs the app."""

    office: Office
    requests: list[tuple[str, str, Any]]
    host: Host
    http: aiohttp.ClientSession
    log: list[str]
    passed: list[str]
    access: Access

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.http.request(method, f"{self.host.base_url}{path}", **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def announce(self, number: str) -> int:
        event = {
            "id": "e1",
            "subject": self.office.version_id(number),
            "eventType": "Microsoft.Resources.ResourceWriteSuccess",
            "eventTime": "2026-11-23T07:00:00Z",
            "dataVersion": "2",
            "data": {"operationName": "Microsoft.Compute/galleries/images/versions/write"},
        }
        status, _ = await self.ask(
            "POST",
            "/runtime/webhooks/eventgrid?functionName=image_published",
            json=[event],
            headers={"aeg-event-type": "Notification"},
        )
        return status

    async def finish(self) -> None:
        def all_ended() -> bool:
            instances = self.host.instances("image-")
            return bool(instances) and all(instance.status not in ("Pending", "Running") for instance in instances)

        assert await self.host.run_until(all_ended, limit=timedelta(days=2))


@asynccontextmanager
async def a_world(tmp_path: Path, **built_with: Any) -> AsyncIterator[World]:
    """Two hosts without people, with version 2.0.0 just published."""
    clock = VirtualClock(MONDAY_MORNING)
    estate = Estate(clock.now, seed=1)
    office = office_pool(estate, **{"hosts": 2, "people": 0, **built_with})
    office.publish_replicated("2.0.0")
    requests: list[tuple[str, str, Any]] = []
    text = POLICY.format(definition=office.definition_id, pool=office.pool_id, subnet=SUBNET)
    access = least_privilege(read_policy(text))
    arm = RecordingArm(estate, requests, access)
    policy = tmp_path / "goldroll.yaml"
    policy.write_text(text, encoding="utf-8")
    schedules = {"GOLDROLL_SWEEP_SCHEDULE": "0 */15 * * * *", "GOLDROLL_RETIREMENT_SCHEDULE": "0 30 3 * * *"}
    settings = {"GOLDROLL_POLICY": str(policy), **schedules}
    connect.use(connect.Connection("https://management.azure.com", AnyoneCredential(), transport_to(arm)))
    log: list[str] = []
    passed: list[str] = []

    def hear(told: HostEvent) -> None:
        if isinstance(told, LogLine):
            log.append(told.message)
        elif isinstance(told, ActivityFinished):
            passed.append(f"{told.input} {told.result}")

    try:
        async with (
            Host(ROOT, clock, tmp_path / "host.db", 0, settings=settings) as host,
            aiohttp.ClientSession() as http,
        ):
            host.subscribe(hear)
            yield World(office, requests, host, http, log, passed, access)
    finally:
        connect.use(None)


async def test_an_event_replaces_every_host_and_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with a_world(tmp_path) as world:
        assert await world.announce("2.0.0") == 202
        await world.finish()

        _, listed = await world.ask("GET", "/api/rollouts")
        (rollout,) = listed["rollouts"]
        assert (rollout["image"], rollout["version"], rollout["phase"]) == ("win11", "2.0.0", Phase.SUCCEEDED)
        status, shown = await world.ask("GET", f"/api/rollouts/{rollout['id']}")
        assert status == 200
        assert [(pool["pool"], pool["phase"]) for pool in shown["pools"]] == [("office", Phase.SUCCEEDED)]
        hosts = world.office.pool.hosts.values()
        machines = [host.machine for host in hosts if host.machine is not None]
        assert len(machines) == 2
        assert {machine.spec.image_id for machine in machines} == {world.office.version_id("2.0.0")}
        assert all(host.allow_new_session for host in hosts)
        assert not any(tag.startswith(("goldroll", "exclude")) for machine in machines for tag in machine.tags)
        assert "office: Succeeded: all 2 hosts are on 2.0.0" in world.log


async def test_no_secret_is_stored_told_or_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_world(tmp_path) as world:
        await world.announce("2.0.0")
        await world.finish()
        _, listed = await world.ask("GET", "/api/rollouts")
        _, shown = await world.ask("GET", f"/api/rollouts/{listed['rollouts'][0]['id']}")
        told = json.dumps([listed, shown]) + "\n".join(world.log)
        requests, passed = world.requests, "\n".join(world.passed)

    agents = [body for _, path, body in requests if body and path.endswith(AGENT_EXTENSION)]
    secrets = {body["properties"]["protectedSettings"]["Items"]["RegistrationInfoToken"] for body in agents}
    secrets |= {
        body["properties"]["osProfile"]["adminPassword"]
        for method, path, body in requests
        if method == "PUT" and path.split("/")[-2] == "virtualMachines"
    }
    with closing(sqlite3.connect(tmp_path / "host.db")) as store:
        stored = "\n".join(store.iterdump())
    assert len(secrets) >= 3
    assert "StopDraining" in passed
    for secret in secrets:
        assert secret not in stored
        assert secret not in passed
        assert secret not in told


async def test_the_sweep_starts_what_no_event_has_announced(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.host.run_until(lambda: bool(world.host.instances("image-")), limit=timedelta(hours=1))
        await world.finish()

        assert any("no event has announced" in line for line in world.log)
        (rollout,) = world.host.instances("image-")[:1]
        assert json.loads(rollout.output)["phase"] == Phase.SUCCEEDED


async def test_a_request_starts_and_a_second_one_finds_it(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        body = {"image": "win11", "version": "2.0.0"}
        first, started = await world.ask("POST", "/api/rollouts", json=body)
        second, found = await world.ask("POST", "/api/rollouts", json=body)

        assert (first, second) == (202, 200)
        assert started["id"] == found["id"]
        status, shown = await world.ask("GET", f"/api/rollouts/{started['id']}")
        assert (status, shown["phase"]) == (200, Phase.SCHEDULED)


@pytest.mark.parametrize("management_type", ["Automated"])
async def test_a_pool_that_azure_updates_itself_is_refused_and_untouched(tmp_path: Path, management_type: str) -> None:
    async with a_world(tmp_path, management_type=management_type) as world:
        await world.announce("2.0.0")
        await world.finish()

        _, listed = await world.ask("GET", "/api/rollouts")
        _, shown = await world.ask("GET", f"/api/rollouts/{listed['rollouts'][0]['id']}")
        assert (shown["pools"][0]["phase"], shown["pools"][0]["reason"]) == (Phase.REFUSED, "ManagedByAzure")
        assert {method for method, _, __ in world.requests} == {"GET"}


async def test_a_missing_permission_puts_the_rollout_off_and_says_what_to_assign(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        before = {host.machine for host in world.office.pool.hosts.values()}
        world.access.revoke("Microsoft.Network/virtualNetworks/subnets/join/action")
        await world.announce("2.0.0")
        await world.host.run_until(lambda: False, limit=timedelta(hours=3))

        (rollout,) = (await world.ask("GET", "/api/rollouts"))[1]["rollouts"]
        (pool,) = (await world.ask("GET", f"/api/rollouts/{rollout['id']}"))[1]["pools"]
        assert (pool["phase"], pool["reason"]) == (Phase.WAITING_CAPACITY, "LinkedAuthorizationFailed")
        assert "may not Microsoft.Network/virtualNetworks/subnets/join/action at " in pool["message"]
        assert "assign Goldroll Subnet Joiner" in pool["message"]
        assert {host.machine for host in world.office.pool.hosts.values()} == before
        assert all(host.allow_new_session for host in world.office.pool.hosts.values())

        world.access.assign(SUBNET, actions_of("network"))
        await world.finish()
        (pool,) = (await world.ask("GET", f"/api/rollouts/{rollout['id']}"))[1]["pools"]
        assert pool["phase"] == Phase.SUCCEEDED
