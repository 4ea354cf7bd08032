"""The HTTP API for operators: skip a session host, and retry. What the tables of docs/api.md say: test_verbs.py."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import msgspec
import pytest

from rollout.assignments import ImageRollBack, PoolBack
from rollout.commands import Command
from rollout.instance_ids import host_pool_key, pool_instance
from rollout.lease import MOST_QUEUED, Lease, command
from rollout.model import Phase
from rollout.status import PoolStatus
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.durable import NOW, Instances, as_client, function_of, principal
from tests.triggers.telling import ROLLOUT, a_pool_at_work, begin, queued
from triggers import host_commands

RAJ = principal("raj@contoso.com", "Operator")
AT_WORK = PoolStatus("office", "2.0.0", Phase.ROLLING)
MINE = pool_instance(ROLLOUT, "office")
SKIP = {"pool": "office", "host": "AVD-001"}


@pytest.fixture(autouse=True)
def authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    """App Service authentication is switched on."""
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")


@pytest.fixture
def rolling(office: SimulatedOffice, instances: Instances) -> Instances:
    """A rollout of the office at work."""
    begin(office, instances, {"phase": "Rolling"})
    a_pool_at_work(instances, AT_WORK)
    return instances


async def send(
    instances: Instances, verb: str, body: Any = None, id: str = ROLLOUT, headers: Any = RAJ
) -> tuple[int, Any]:
    raw = json.dumps({"reason": "the quota\nis raised", **(body or {})}).encode()
    url = f"http://127.0.0.1:7071/api/rollouts/{id}/{verb}"
    request = func.HttpRequest(method="POST", url=url, body=raw, route_params={"id": id}, headers=headers)
    response = await function_of(getattr(host_commands, f"{verb}_host"))(request, as_client(instances))
    return response.status_code, json.loads(response.get_body())


async def test_a_skip_waits_in_the_lease_with_who_and_why(office: SimulatedOffice, rolling: Instances) -> None:
    status, body = await send(rolling, "skip", SKIP)

    assert (status, body) == (
        202,
        {"id": ROLLOUT, "command": "skip", "pools": ["office"], "by": "raj@contoso.com", "host": "avd-001"},
    )
    (waiting,) = queued(office, rolling)
    assert waiting.pop("at")
    assert waiting == {
        "kind": "skip",
        "by": "raj@contoso.com",
        "reason": "the quota is raised",
        "host": "avd-001",
        "number": 1,
    }
    assert rolling.raised == []


async def test_commands_wait_in_the_order_in_which_they_came(office: SimulatedOffice, rolling: Instances) -> None:
    for verb, host in (("skip", "avd-001"), ("skip", "avd-002"), ("retry", "")):
        assert (await send(rolling, verb, {"pool": "office"} | ({"host": host} if host else {})))[0] == 202

    assert [(one["number"], one.get("host", "")) for one in queued(office, rolling)] == [
        (1, "avd-001"),
        (2, "avd-002"),
        (3, ""),
    ]


async def test_who_says_the_same_again_learns_who_has_said_it_until_it_is_carried_out(
    office: SimulatedOffice, rolling: Instances
) -> None:
    assert (await send(rolling, "skip", SKIP))[0] == 202
    status, again = await send(rolling, "skip", SKIP, headers=principal("andrea@contoso.com", "Operator"))
    assert (status, again["code"]) == (409, "ToldAlready")
    assert again["detail"] == "avd-001: the rollout has been told so by raj@contoso.com: the quota is raised"

    a_pool_at_work(rolling, msgspec.structs.replace(AT_WORK, carried_out=1))
    assert (await send(rolling, "skip", SKIP))[0] == 202
    assert len(queued(office, rolling)) == 2


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("skip", {"pool": "office"}, "host"),
        ("skip", {"host": "avd-001"}, "pool"),
        ("skip", SKIP | {"reason": ""}, "reason"),
        ("skip", SKIP | {"host": ""}, "host"),
        ("retry", {"host": "avd-001"}, "pool"),
        ("retry", {"hosts": []}, "hosts"),
    ],
)
async def test_a_body_that_lacks_something_is_a_bad_request_that_names_it(
    office: SimulatedOffice, rolling: Instances, verb: str, body: dict[str, str], field: str
) -> None:
    status, answered = await send(rolling, verb, body)

    assert (status, answered["code"], answered["field"]) == (400, "BadRequest", field)
    assert queued(office, rolling) == []


async def test_what_is_not_there_is_not_found(rolling: Instances) -> None:
    assert (await send(rolling, "skip", SKIP | {"pool": "warehouse"}))[1]["code"] == "NoSuchPool"
    assert (await send(rolling, "skip", SKIP | {"host": "avd-999"}))[1]["code"] == "NoSuchHost"
    assert (await send(rolling, "skip", SKIP, id="image-gal-win11-9.9.9-abcdef"))[1]["code"] == "NoSuchRollout"


async def test_who_is_no_operator_or_has_seen_another_revision_tells_it_nothing(
    office: SimulatedOffice, rolling: Instances
) -> None:
    reader = await send(rolling, "skip", SKIP, headers=principal("andrea@contoso.com", "Approver"))
    late = await send(rolling, "retry", headers=RAJ | {"If-Match": '"another"'})

    assert (reader[0], reader[1]["code"]) == (403, "RoleNeeded")
    assert (late[0], late[1]["code"]) == (412, "MovedOn")
    assert queued(office, rolling) == []


async def test_a_pool_that_cannot_be_read_or_is_gone_is_said_to_be_so(
    office: SimulatedOffice, rolling: Instances
) -> None:
    office.faults.fail_next("GET", "/sessionHosts", Site.THROTTLED)
    assert (await send(rolling, "skip", SKIP))[1]["code"] == "AzureUnreadable"
    office.faults.stop()
    office.estate.pools.delete(office.pool_id, force=True)
    assert (await send(rolling, "skip", SKIP))[1]["code"] == "HostPoolGone"
    assert queued(office, rolling) == []


async def test_what_a_host_pool_alone_was_told_counts_before_it_shows(
    office: SimulatedOffice, rolling: Instances
) -> None:
    lease, _ = command(Lease(), MINE, Command("abort", "andrea@contoso.com", "a wrong build"), NOW)
    keep(office, rolling, lease)

    assert (await send(rolling, "skip", SKIP))[1]["code"] == "AbortedAlready"


async def test_no_more_commands_wait_than_there_is_room_for(office: SimulatedOffice, rolling: Instances) -> None:
    lease = Lease()
    for number in range(MOST_QUEUED):
        lease, _ = command(lease, MINE, Command("skip", "raj@contoso.com", "why", host=f"avd-{number:03}"), NOW)
    keep(office, rolling, lease)

    assert (await send(rolling, "retry", {"pool": "office"}))[1]["code"] == "TooManyCommands"


async def test_a_host_that_may_be_being_given_back_is_retried_as_nobody_can_see_that_it_is_not(
    office: SimulatedOffice, rolling: Instances
) -> None:
    assert (await send(rolling, "retry", SKIP))[1]["code"] == "NothingToRetry"
    a_pool_at_work(rolling, msgspec.structs.replace(AT_WORK, in_hand={"GivingBack": 1}))
    assert (await send(rolling, "retry", SKIP))[0] == 202


async def test_a_lease_that_cannot_be_read_takes_nothing(office: SimulatedOffice, rolling: Instances) -> None:
    rolling.entities["host_pool", host_pool_key(office.pool_id)] = '{"holder": "somebody"}'

    assert (await send(rolling, "skip", SKIP))[1]["code"] == "LeaseUnreadable"


async def test_in_a_roll_back_the_hosts_of_the_refused_version_are_those_to_skip(
    office: SimulatedOffice, instances: Instances
) -> None:
    old, refused = office.office.version_id("0.9.0"), office.office.version_id("1.0.0")
    image = office.whole_policy().images[0]
    back = ImageRollBack(refused, ROLLOUT, image, (PoolBack(office.policy(), old),), "raj@contoso.com")
    id = "back-gal-win11-2.0.0-abcdef"
    given = msgspec.json.encode(back).decode()
    instances.add(id, "roll_back_image", input=given, customStatus={"phase": "RollingBack"})

    assert (await send(instances, "skip", SKIP, id=id))[0] == 202
    given = msgspec.json.encode(msgspec.structs.replace(back, version_id=office.office.version_id("2.0.0"))).decode()
    instances.add(id, "roll_back_image", input=given, customStatus={"phase": "RollingBack"})
    assert (await send(instances, "skip", SKIP | {"host": "avd-002"}, id=id))[1]["code"] == "IsCurrent"


def keep(office: SimulatedOffice, instances: Instances, lease: Lease) -> None:
    """Let this be what the office's lease holds."""
    instances.entities["host_pool", host_pool_key(office.pool_id)] = json.dumps(msgspec.to_builtins(lease))
