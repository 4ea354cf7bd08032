"""The HTTP API for operators: pause, resume, abort; a whole rollout or one of its host pools."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from rollout.commands import Command, read_command
from rollout.instance_ids import host_pool_key
from tests.triggers.durable import Instances, as_client, function_of, principal
from triggers import commands

ROLLOUT = "image-gal-win11-2.0.0-abcdef"
POOLS = [
    {
        "name": "office",
        "host_pool_id": "/subscriptions/s/resourceGroups/g/providers/p/hostPools/hp-office",
        "zone": "UTC",
    },
    {"name": "branch", "host_pool_id": "/subscriptions/s/resourceGroups/g/providers/p/hostPools/hp-branch"},
]
RAJ = principal("raj@contoso.com", "Operator")


@pytest.fixture(autouse=True)
def authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    """App Service authentication is switched on."""
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")


@pytest.fixture
def rolling(instances: Instances) -> Instances:
    """A rollout of two host pools at work."""
    instances.add(ROLLOUT, input=json.dumps({"version_id": "x", "pools": POOLS}), customStatus={"phase": "Rolling"})
    return instances


async def send(instances: Instances, verb: str, body: Any = None, id: str = ROLLOUT, **given: Any) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps({"reason": "the town hall"} | (body or {})).encode()
    url = f"http://127.0.0.1:7071/api/rollouts/{id}/{verb}"
    headers = given.get("headers", RAJ)
    request = func.HttpRequest(method="POST", url=url, body=raw, route_params={"id": id}, headers=headers)
    response = await function_of(getattr(commands, f"{verb}_rollout"))(request, as_client(instances))
    return response.status_code, json.loads(response.get_body())


def lease_of(instances: Instances, pool: int) -> dict[str, Any]:
    key = ("host_pool", host_pool_key(POOLS[pool]["host_pool_id"]))
    told: dict[str, Any] = json.loads(instances.entities.get(key, "{}")).get("commands", {})
    return told


@pytest.mark.parametrize("verb", ["pause", "abort"])
async def test_a_command_reaches_the_rollout_and_each_of_its_host_pools(rolling: Instances, verb: str) -> None:
    status, body = await send(rolling, verb)

    assert (status, body["pools"], body["by"]) == (202, ["office", "branch"], "raj@contoso.com")
    ((instance, name, given),) = rolling.raised
    assert (instance, name) == (ROLLOUT, "command")
    assert read_command(given) == Command(verb, "raj@contoso.com", "the town hall")  # type: ignore[arg-type]
    for pool, host_pool in enumerate(("office", "branch")):
        (told,) = lease_of(rolling, pool).items()
        assert told[0] == f"{ROLLOUT}:{host_pool}"
        assert (told[1]["kind"], told[1]["by"]) == (verb, "raj@contoso.com")


async def test_a_command_for_one_host_pool_leaves_the_others_and_the_whole_alone(rolling: Instances) -> None:
    status, body = await send(rolling, "pause", {"pool": "branch"})

    assert (status, body["pools"]) == (202, ["branch"])
    assert rolling.raised == []
    assert lease_of(rolling, 0) == {}
    assert set(lease_of(rolling, 1)) == {f"{ROLLOUT}:branch"}


async def test_what_is_paused_can_be_resumed_by_somebody_else(rolling: Instances) -> None:
    await send(rolling, "pause")
    rolling.known[ROLLOUT]["customStatus"] = {"command": {"kind": "pause", "by": "raj@contoso.com"}}
    status, _ = await send(rolling, "resume", headers=principal("andrea@contoso.com", "Operator"))

    assert status == 202
    assert lease_of(rolling, 0) == {}


@pytest.mark.parametrize(
    ("standing", "verb", "code"),
    [
        (None, "resume", "NotPaused"),
        ("pause", "pause", "PausedAlready"),
        ("abort", "pause", "AbortedAlready"),
        ("abort", "resume", "AbortedAlready"),
        ("abort", "abort", "AbortedAlready"),
    ],
)
async def test_a_command_that_changes_nothing_is_a_conflict(
    rolling: Instances, standing: str | None, verb: str, code: str
) -> None:
    told = {"command": {"kind": standing, "by": "andrea@contoso.com", "reason": "a wrong build"}} if standing else {}
    rolling.known[ROLLOUT]["customStatus"] = told
    status, body = await send(rolling, verb)

    assert (status, body["code"]) == (409, code)
    assert rolling.raised == []
    assert lease_of(rolling, 0) == {}


async def test_a_rollout_that_has_ended_or_was_never_there_takes_no_command(rolling: Instances) -> None:
    rolling.known[ROLLOUT]["runtimeStatus"] = "Completed"

    assert (await send(rolling, "pause"))[1]["code"] == "HasEnded"
    assert (await send(rolling, "pause", id="image-gal-win11-9.9.9-abcdef"))[1]["code"] == "NoSuchRollout"
    assert (await send(rolling, "pause", id="x'; drop"))[0] == 404


async def test_a_host_pool_that_the_rollout_has_not_is_not_found(rolling: Instances) -> None:
    status, body = await send(rolling, "abort", {"pool": "warehouse"})

    assert (status, body["code"]) == (404, "NoSuchPool")
    assert rolling.raised == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"reason": ""}', b'{"reason": "x", "who": "me"}', b'{"reason": 7}']
)
async def test_a_body_that_cannot_be_read_is_a_bad_request(rolling: Instances, body: bytes) -> None:
    status, answered = await send(rolling, "pause", body)

    assert (status, answered["code"]) == (400, "BadRequest")
    assert rolling.raised == []


async def test_a_caller_whom_the_platform_does_not_name_is_refused(rolling: Instances) -> None:
    status, body = await send(rolling, "abort", headers={"X-MS-CLIENT-PRINCIPAL": "bm9uc2Vuc2U="})

    assert (status, body["code"]) == (403, "UnknownCaller")
    assert rolling.raised == []
