"""The HTTP API for host pools: what the policy has, who worked on it last, and a live look at one."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import msgspec
import pytest

from rollout.commands import Command
from rollout.instance_ids import host_pool_key, image_instance, pool_instance
from rollout.lease import Lease, acquire, command, release
from rollout.model import Phase, PoolCounts
from rollout.status import PoolStatus
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import NOW, Instances, as_client, function_of
from triggers import pools

STATUS = PoolStatus("office", "2.0.0", Phase.ROLLING, message="rolling", counts=PoolCounts(outdated=2, current=1))


async def call(function: Any, instances: Instances, name: str = "", tag: str = "") -> func.HttpResponse:
    request = func.HttpRequest(
        method="GET",
        url="http://127.0.0.1:7071/api/pools",
        body=b"",
        route_params={"name": name},
        headers={"If-None-Match": tag},
    )
    response: func.HttpResponse = await function_of(function)(request, as_client(instances))
    return response


async def listed(instances: Instances) -> Any:
    return json.loads((await call(pools.list_pools, instances)).get_body())["pools"]


async def look(instances: Instances, name: str = "office") -> tuple[int, Any]:
    response = await call(pools.show_pool, instances, name)
    return response.status_code, json.loads(response.get_body())


def rolled_by(instances: Instances, office: SimulatedOffice, status: Any, *, ended: bool = False) -> str:
    """A rollout of 2.0.0 holds the office, or has given it back; `status` is what it shows."""
    version = office.office.version_id("2.0.0")
    rollout = pool_instance(image_instance(version), "office")
    lease, _ = acquire(Lease(), rollout, version, "supersede", NOW)
    if ended:
        lease, _ = release(lease, rollout)
    instances.entities["host_pool", host_pool_key(office.pool_id)] = json.dumps(msgspec.to_builtins(lease))
    if status is not None:
        shown = {"output": status} if ended else {"customStatus": status}
        runtime = "Completed" if ended else "Running"
        instances.add(rollout, "roll_host_pool", runtime, **msgspec.to_builtins(shown))
    return rollout


# ------------------------------------------------------------------------------------------------------------- the list


async def test_a_pool_that_was_never_rolled_is_listed(office: SimulatedOffice, instances: Instances) -> None:
    assert await listed(instances) == [{"pool": "office", "image": "win11"}]


async def test_a_pool_tells_of_the_rollout_that_holds_it(office: SimulatedOffice, instances: Instances) -> None:
    rollout = rolled_by(instances, office, STATUS)

    assert await listed(instances) == [
        {
            "pool": "office",
            "image": "win11",
            "rollout": image_instance(office.office.version_id("2.0.0")),
            "version": "2.0.0",
            "phase": "Rolling",
            "message": "rolling",
            "counts": {"outdated": 2, "current": 1},
            "holder": rollout,
        }
    ]


async def test_a_pool_tells_of_its_last_rollout_when_that_has_ended(
    office: SimulatedOffice, instances: Instances
) -> None:
    rolled_by(instances, office, msgspec.structs.replace(STATUS, phase=Phase.SUCCEEDED), ended=True)

    (pool,) = await listed(instances)

    assert (pool["version"], pool["phase"], "holder" in pool) == ("2.0.0", "Succeeded", False)


async def test_a_rollout_that_died_has_failed(office: SimulatedOffice, instances: Instances) -> None:
    rolled_by(instances, office, "ValueError: no such host\nat line 3", ended=True)

    (pool,) = await listed(instances)

    assert (pool["phase"], pool["message"]) == ("Failed", "ValueError: no such host")


async def test_what_is_not_known_is_said(office: SimulatedOffice, instances: Instances) -> None:
    rolled_by(instances, office, None)
    (forgotten,) = await listed(instances)
    instances.entities["host_pool", host_pool_key(office.pool_id)] = '{"holder": "somebody"}'
    (unreadable,) = await listed(instances)

    assert (forgotten["version"], forgotten["trouble"]) == ("2.0.0", "nothing is known of the rollout any more")
    assert unreadable["trouble"] == "the host pool's lease cannot be read"


async def test_a_pool_says_which_ring_it_is_in(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace("\n  - name: unused", "\n    rings: [{name: first, host_pools: [office]}]\n  - name: unused")

    assert [pool["ring"] for pool in await listed(instances)] == ["first"]


@pytest.mark.parametrize("function", [pools.list_pools, pools.show_pool])
async def test_a_broken_policy_is_said_to_be_so(
    function: Any, office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.write("images: 7")

    response = await call(function, instances, "office")

    assert (response.status_code, json.loads(response.get_body())["code"]) == (503, "PolicyUnusable")


async def test_who_has_the_answer_already_gets_none(office: SimulatedOffice, instances: Instances) -> None:
    tag = (await call(pools.list_pools, instances)).headers["ETag"]

    again = await call(pools.list_pools, instances, tag=f'W/{tag}, "another"')
    rolled_by(instances, office, STATUS)
    changed = await call(pools.list_pools, instances, tag=tag)

    assert (again.status_code, again.get_body()) == (304, b"")
    assert (changed.status_code, changed.headers["ETag"] == tag) == (200, False)


# --------------------------------------------------------------------------------------------------------- a live look


async def test_a_look_at_a_pool_shows_every_host(office: SimulatedOffice, instances: Instances) -> None:
    rolled_by(instances, office, STATUS)
    status, view = await look(instances)

    assert status == 200
    assert view["states"] == {"Outdated": 3}
    assert [host["name"] for host in view["hosts"]] == ["avd-000", "avd-001", "avd-002"]
    assert {host["version"] for host in view["hosts"]} == {"1.0.0"}
    assert (view["version"], view["phase"], view["message"]) == ("2.0.0", "Rolling", "rolling")
    assert view["slots"] == {"total": 30, "free": 30, "reserve": 5}
    assert view["kept_seconds"] == 30


async def test_a_look_shows_what_the_rollout_has_been_told_of_a_host_and_has_not_done_yet(
    office: SimulatedOffice, instances: Instances
) -> None:
    rollout = rolled_by(instances, office, msgspec.structs.replace(STATUS, carried_out=1))
    key = ("host_pool", host_pool_key(office.pool_id))
    lease = msgspec.json.decode(instances.entities[key], type=Lease)
    for host in ("avd-000", "avd-001", "avd-002"):
        lease, _ = command(lease, rollout, Command("skip", "raj@contoso.com", "why", host=host), NOW)
    lease, _ = command(lease, rollout, Command("retry", "raj@contoso.com", "why", host="avd-002"), NOW)
    instances.entities[key] = msgspec.json.encode(lease).decode()
    _, view = await look(instances)

    assert [host.get("told") for host in view["hosts"]] == [None, "skip", "retry"]


async def test_many_who_look_cost_azure_one_look(office: SimulatedOffice, instances: Instances) -> None:
    await look(instances)
    asked = len(office.requests)
    for _ in range(20):
        await look(instances)

    assert len(office.requests) == asked
    assert asked < 10


async def test_a_look_lists_and_changes_nothing(office: SimulatedOffice, instances: Instances) -> None:
    await look(instances)

    assert {method for method, _, _ in office.requests} == {"GET"}


async def test_a_look_is_taken_anew_when_it_has_grown_old(
    office: SimulatedOffice, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    await look(instances)
    monkeypatch.setenv("GOLDROLL_VIEW_SECONDS", "0")
    asked = len(office.requests)
    await look(instances)

    assert len(office.requests) > asked


async def test_a_pool_that_is_not_in_the_policy_is_not_found(office: SimulatedOffice, instances: Instances) -> None:
    status, body = await look(instances, "../secret")

    assert (status, body["code"]) == (404, "UnknownPool")
    assert "'../secret'; it has office" in body["detail"]


async def test_a_pool_that_is_gone_is_not_found_either(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace(office.pool_id, f"{office.pool_id}-gone")

    status, body = await look(instances)

    assert (status, body["code"]) == (404, "HostPoolGone")


async def test_an_azure_that_does_not_answer_is_said_to_be_so(office: SimulatedOffice, instances: Instances) -> None:
    office.faults.fail_next("GET", "sessionHosts$", Site.THROTTLED)

    failed, body = await look(instances)
    again, _ = await look(instances)

    assert (failed, body["code"], again) == (502, "AzureUnreadable", 200)
