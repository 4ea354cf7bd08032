"""The HTTP API for operators: roll back what a rollout has done, while it runs and afterwards."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import msgspec
import pytest

from rollout.assignments import ImageRollBack, ImageRollout
from rollout.commands import Command
from rollout.instance_ids import back_instance, host_pool_key, is_back_instance, pool_instance
from rollout.model import Phase
from rollout.policy import ImagePolicy
from tests.rollout.builders import NEXT, a_policy, version_id
from tests.triggers.durable import Instances, as_client, function_of, principal
from triggers import commands, roll_backs

ROLLOUT = "image-desktops-office-2.0.0-abcdef"
BACK = "back-desktops-office-2.0.0-abcdef"
BEFORE = version_id("1.0.0")
RAJ = principal("raj@contoso.com", "Operator")
POOLS = tuple(
    msgspec.structs.replace(a_policy(name=name), host_pool_id=f"/subscriptions/s/resourceGroups/g/{name}")
    for name in ("office", "branch", "depot")
)
INPUT = ImageRollout(
    version_id(NEXT), ImagePolicy(name="office", definition_id=BEFORE.rsplit("/versions", 1)[0]), POOLS
)


@pytest.fixture(autouse=True)
def authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    """App Service authentication is switched on."""
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")


def given() -> str:
    return msgspec.json.encode(INPUT).decode()


def told(name: str, phase: str, previous: str = BEFORE, desired: int = 8) -> dict[str, Any]:
    return {"pool": name, "version": NEXT, "phase": phase, "previous": previous, "desired": desired}


@pytest.fixture
def running(instances: Instances) -> Instances:
    """A rollout at work: one pool is done, one is being rolled, one has not begun."""
    pools = {"office": "Succeeded", "branch": "Rolling", "depot": "Scheduled"}
    instances.add(ROLLOUT, input=given(), customStatus={"phase": "Rolling", "pools": pools})
    instances.add(
        pool_instance(ROLLOUT, "office"), "roll_host_pool", "Completed", output=told("office", Phase.SUCCEEDED)
    )
    instances.add(pool_instance(ROLLOUT, "branch"), "roll_host_pool", customStatus=told("branch", Phase.ROLLING))
    return instances


@pytest.fixture
def ended(instances: Instances) -> Instances:
    """A rollout that has halted: one pool done, one halted, one never started."""
    pools = [told("office", Phase.SUCCEEDED), told("branch", Phase.HALTED), told("depot", Phase.BLOCKED, "", 0)]
    instances.add(ROLLOUT, runtime="Completed", input=given(), output={"phase": "Halted", "pools": pools})
    return instances


async def send(instances: Instances, body: Any = None, id: str = ROLLOUT) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps({"reason": "printing is broken"} | (body or {})).encode()
    url = f"http://127.0.0.1:7071/api/rollouts/{id}/rollback"
    request = func.HttpRequest(method="POST", url=url, body=raw, route_params={"id": id}, headers=RAJ)
    response = await function_of(roll_backs.roll_back)(request, as_client(instances))
    return response.status_code, json.loads(response.get_body())


def started(instances: Instances) -> ImageRollBack:
    ((name, id, given),) = instances.started
    assert (name, id) == ("roll_back_image", BACK)
    return msgspec.convert(given, ImageRollBack)


def lease_of(instances: Instances, pool: int) -> dict[str, Any]:
    key = ("host_pool", host_pool_key(POOLS[pool].host_pool_id))
    commands: dict[str, Any] = json.loads(instances.entities.get(key, "{}")).get("commands", {})
    return commands


async def test_a_rollout_that_runs_lets_go_and_every_pool_that_has_begun_is_rolled_back(running: Instances) -> None:
    status, body = await send(running)

    assert status == 202
    assert (body["id"], body["pools"]) == (BACK, {"office": "1.0.0", "branch": "1.0.0"})
    assert body["left_out"] == {"depot": "the rollout has not begun with it"}
    back = started(running)
    assert (back.version_id, back.by, back.reason) == (version_id(NEXT), "raj@contoso.com", "printing is broken")
    # The pool that was at work gets back the size that it had; the other one keeps what it has.
    assert {pool.policy.name: (pool.version_id, pool.size) for pool in back.pools} == {
        "office": (BEFORE, 0),
        "branch": (BEFORE, 8),
    }
    ((id, event, command),) = running.raised
    assert (id, event, msgspec.convert(command, Command).kind) == (ROLLOUT, "command", "roll_back")
    assert all(pool_instance(ROLLOUT, POOLS[n].name) in lease_of(running, n) for n in range(3))


async def test_a_roll_back_tells_of_itself_whoever_is_told(running: Instances, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDROLL_WEBHOOK", "https://hooks.example/1")
    await send(running)

    back = started(running)
    assert (back.tells, back.notified) == (True, ("webhook",))


async def test_one_pool_alone_is_rolled_back_and_the_others_go_on(running: Instances) -> None:
    status, body = await send(running, {"pool": "branch"})

    assert (status, body["pools"]) == (202, {"branch": "1.0.0"})
    assert running.raised == []
    assert lease_of(running, 0) == {}
    assert lease_of(running, 1)[pool_instance(ROLLOUT, "branch")]["kind"] == "roll_back"


async def test_a_rollout_that_has_ended_is_rolled_back_all_the_same(ended: Instances) -> None:
    status, body = await send(ended)

    assert (status, body["pools"]) == (202, {"office": "1.0.0", "branch": "1.0.0"})
    assert body["left_out"] == {"depot": "the rollout has done nothing to it"}
    assert {pool.policy.name: pool.size for pool in started(ended).pools} == {"office": 0, "branch": 8}
    assert (ended.raised, ended.entities) == ([], {})


async def test_asking_twice_starts_one_roll_back(ended: Instances) -> None:
    await send(ended)
    ended.known[BACK]["input"] = json.dumps(ended.started[0][2])

    status, body = await send(ended)

    assert (status, body["id"]) == (200, BACK)
    assert len(ended.started) == 1


async def test_a_roll_back_of_other_pools_has_to_end_first(ended: Instances) -> None:
    await send(ended, {"pool": "office"})
    ended.known[BACK]["input"] = json.dumps(ended.started[0][2])
    status, problem = await send(ended, {"pool": "branch"})
    assert (status, problem["code"]) == (409, "RollBackUnderWay")


async def test_one_that_has_ended_is_followed_by_another_attempt(ended: Instances) -> None:
    ended.add(BACK, "roll_back_image", "Completed", output={"phase": "Halted", "pools": []})
    _, body = await send(ended)
    assert body["id"] == back_instance(ROLLOUT, 2) == f"{BACK}.2"
    assert is_back_instance(body["id"])


async def test_nothing_is_started_where_nobody_knows_what_to_go_back_to(instances: Instances) -> None:
    pools = [told("office", Phase.SUCCEEDED, ""), told("branch", Phase.ROLLED_BACK), told("depot", Phase.REFUSED, "")]
    instances.add(ROLLOUT, runtime="Completed", input=given(), output={"phase": "Succeeded", "pools": pools})

    status, problem = await send(instances)

    assert (status, problem["code"]) == (409, "NothingToRollBack")
    for why in ("is not known", "has been rolled back already", "has done nothing"):
        assert why in problem["detail"]


async def test_a_roll_back_itself_cannot_be_rolled_back(instances: Instances) -> None:
    instances.add(BACK, "roll_back_image", input="{}")
    status, problem = await send(instances, id=BACK)
    assert (status, problem["code"]) == (409, "IsARollBack")


async def test_a_roll_back_takes_commands_like_any_rollout(ended: Instances) -> None:
    await send(ended)
    ended.known[BACK]["input"] = json.dumps(ended.started[0][2])
    url = f"http://127.0.0.1:7071/api/rollouts/{BACK}/pause"
    body = json.dumps({"reason": "wait a moment"}).encode()
    request = func.HttpRequest(method="POST", url=url, body=body, route_params={"id": BACK}, headers=RAJ)

    response = await function_of(commands.pause_rollout)(request, as_client(ended))

    assert json.loads(response.get_body())["pools"] == ["office", "branch"]
    assert lease_of(ended, 1)[pool_instance(BACK, "branch")]["kind"] == "pause"


@pytest.mark.parametrize(
    ("body", "id", "status", "code"),
    [
        (b"", ROLLOUT, 400, "BadRequest"),
        (b'{"pool": "office"}', ROLLOUT, 400, "BadRequest"),
        (None, "image-x", 404, "NoSuchRollout"),
        (None, "../freeze", 404, "NoSuchRollout"),
        ({"pool": "nobody"}, ROLLOUT, 404, "NoSuchPool"),
    ],
)
async def test_what_cannot_be_rolled_back_is_a_problem(
    ended: Instances, body: Any, id: str, status: int, code: str
) -> None:
    answered, problem = await send(ended, body, id)
    assert (answered, problem["code"]) == (status, code)
    assert ended.started == []


async def test_an_input_that_cannot_be_read_is_said(instances: Instances) -> None:
    instances.add(ROLLOUT, runtime="Completed", input='{"version_id": 1}', output={"phase": "Halted"})
    status, problem = await send(instances)
    assert (status, problem["code"]) == (409, "NothingToRollBack")
