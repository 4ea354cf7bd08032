"""The HTTP API: starting, listing and looking at rollouts."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from rollout.instance_ids import image_instance
from rollout.model import Phase
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import Instances, as_client, function_of, principal
from triggers import rollouts

URL = "http://127.0.0.1:7071/api/rollouts"


async def call(function: Any, instances: Instances, **request: Any) -> tuple[int, Any, dict[str, str]]:
    body = request.pop("body", b"")
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = func.HttpRequest(method="GET", url=URL, body=body, **request)
    response = await function_of(function)(given, as_client(instances))
    return response.status_code, json.loads(response.get_body()), {**response.headers, "type": response.mimetype}


async def start(instances: Instances, image: str = "win11", version: str = "2.0.0") -> tuple[int, Any, dict[str, str]]:
    return await call(rollouts.start_rollout, instances, body={"image": image, "version": version})


async def show(instances: Instances, instance_id: str) -> tuple[int, Any, dict[str, str]]:
    return await call(rollouts.show_rollout, instances, route_params={"id": instance_id})


def id_of(office: SimulatedOffice, attempt: int = 1) -> str:
    return image_instance(office.office.version_id("2.0.0"), attempt)


# ------------------------------------------------------------------------------------------------------ starting one


async def test_a_rollout_is_started_and_says_where_it_can_be_seen(
    office: SimulatedOffice, instances: Instances
) -> None:
    status, body, headers = await start(instances)

    assert status == 202
    assert body == {"id": id_of(office), "image": "win11", "version": "2.0.0"}
    assert headers["Location"] == f"{URL}/{id_of(office)}"
    assert len(instances.started) == 1


async def test_asking_twice_starts_one(office: SimulatedOffice, instances: Instances) -> None:
    await start(instances)
    status, body, _ = await start(instances)

    assert (status, body["id"]) == (200, id_of(office))
    assert len(instances.started) == 1


async def test_a_rollout_that_has_succeeded_is_not_repeated(office: SimulatedOffice, instances: Instances) -> None:
    instances.add(id_of(office), runtime="Completed", output={"phase": Phase.SUCCEEDED})

    status, body, _ = await start(instances)

    assert (status, body["id"]) == (200, id_of(office))


@pytest.mark.parametrize(
    ("runtime", "output"),
    [
        ("Completed", {"phase": Phase.HALTED}),
        ("Completed", {"phase": Phase.SUCCEEDED_WITH_SKIPS}),
        ("Failed", "a stack"),
        ("Terminated", None),
    ],
)
async def test_a_rollout_that_ended_otherwise_gets_another_attempt(
    office: SimulatedOffice, instances: Instances, runtime: str, output: Any
) -> None:
    instances.add(id_of(office), runtime=runtime, output=output)

    first, body, _ = await start(instances)
    again, same, _ = await start(instances)

    assert (first, again) == (202, 200)
    assert body["id"] == same["id"] == id_of(office, 2)
    assert body["id"].endswith("-2")


async def test_a_version_that_is_held_back_can_be_asked_for(office: SimulatedOffice, instances: Instances) -> None:
    office.office.publish_replicated("3.0.0").exclude_from_latest = True

    assert (await start(instances, version="3.0.0"))[0] == 202


async def test_an_older_version_can_be_asked_for(office: SimulatedOffice, instances: Instances) -> None:
    assert (await start(instances, version="1.0.0"))[0] == 202


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        {"image": "win11"},
        {"image": "", "version": "1.0.0"},
        {"image": "win11", "version": "latest"},
        {"image": "win11", "version": "1.0"},
        {"image": "win11", "version": 1},
        {"image": "win11", "version": "1.0.0", "force": True},
    ],
)
async def test_a_request_that_cannot_be_read_is_answered_as_a_problem(instances: Instances, body: Any) -> None:
    status, problem, headers = await call(rollouts.start_rollout, instances, body=body)

    assert status == problem["status"] == 400
    assert headers["type"] == "application/problem+json"
    assert '{"image": "win11", "version": "1.2.3"}' in problem["detail"]


@pytest.mark.parametrize(
    ("image", "version", "status", "code"),
    [
        ("win12", "2.0.0", 404, "UnknownImage"),
        ("win11", "9.9.9", 404, "NoSuchVersion"),
        ("unused", "1.0.0", 404, "NoSuchVersion"),
    ],
)
async def test_what_does_not_exist_is_said(
    instances: Instances, image: str, version: str, status: int, code: str
) -> None:
    answered, problem, _ = await start(instances, image, version)

    assert (answered, problem["code"]) == (status, code)


async def test_a_policy_that_cannot_be_used_is_a_problem_with_its_reasons(
    instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.write("host_pulls: []")

    status, problem, _ = await start(instances)

    assert status == 503
    assert "host_pulls" in problem["detail"]


async def test_azure_that_cannot_be_read_is_a_problem(office: SimulatedOffice, instances: Instances) -> None:
    office.faults.fail_next("GET", "versions", Site.THROTTLED)

    assert (await start(instances))[0] == 502


# --------------------------------------------------------------------------------------------------- looking at them


async def test_rollouts_are_listed_the_newest_first_without_their_pools(
    office: SimulatedOffice, instances: Instances
) -> None:
    instances.add("image-a-1.0.0-abcdef", customStatus={"image": "a", "phase": "Rolling"})
    instances.add("image-a-1.0.0-abcdef:office", name="roll_host_pool")
    instances.add("image-b-1.0.0-abcdef")

    async with instances.listed():
        _, body, _ = await call(rollouts.list_rollouts, instances)

    assert [rollout["id"] for rollout in body["rollouts"]] == ["image-b-1.0.0-abcdef", "image-a-1.0.0-abcdef"]
    assert body["rollouts"][1]["phase"] == "Rolling"
    assert "pools" not in body["rollouts"][1]


async def test_a_running_rollout_is_shown_with_what_each_pool_says_itself(
    office: SimulatedOffice, instances: Instances
) -> None:
    id = id_of(office)
    pools = {"office": Phase.ROLLING, "later": Phase.WAITING_REPLICATION}
    instances.add(id, customStatus={"image": "win11", "version": "2.0.0", "phase": Phase.ROLLING, "pools": pools})
    instances.add(
        f"{id}:office",
        name="roll_host_pool",
        customStatus={"pool": "office", "phase": Phase.BAKING, "message": "the canary bakes", "wave": 0},
    )

    status, body, _ = await show(instances, id)

    assert status == 200
    assert (body["image"], body["version"], body["phase"]) == ("win11", "2.0.0", Phase.ROLLING)
    assert body["pools"][0] == {"pool": "office", "phase": Phase.BAKING, "message": "the canary bakes", "wave": 0}
    assert body["pools"][1] == {"pool": "later", "phase": Phase.WAITING_REPLICATION}


async def test_a_rollout_at_a_gate_is_shown_with_its_rings_and_what_people_are_asked(
    office: SimulatedOffice, instances: Instances
) -> None:
    asked = {"ring": "validation", "since": "2026-11-12T14:00:00Z", "roles": ["Approver"]}
    shown = {
        "image": "win11",
        "version": "2.0.0",
        "phase": Phase.WAITING_GATE,
        "pools": {"test": Phase.SUCCEEDED, "office": Phase.SCHEDULED},
        "rings": {"validation": "Proving", "people": "Waiting"},
        "asked": asked,
        "next": "2026-11-16T14:00:00Z",
    }
    instances.add(id_of(office), customStatus=shown)
    # Another instance of that name must not be taken for the pool's own: the pool has not been started.
    instances.add(f"{id_of(office)}:office", name="roll_host_pool", customStatus={"pool": "office", "phase": "Canary"})

    _, body, _ = await show(instances, id_of(office))

    assert body["phase"] == Phase.WAITING_GATE
    assert body["rings"] == shown["rings"]
    assert body["asked"] == asked
    assert body["next"] == shown["next"]
    assert body["pools"] == [
        {"pool": "test", "phase": Phase.SUCCEEDED},
        {"pool": "office", "phase": Phase.SCHEDULED},
    ]


async def test_a_rollout_remembers_who_has_asked_for_it(
    office: SimulatedOffice, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    body = {"image": "win11", "version": "2.0.0"}

    assert (await call(rollouts.start_rollout, instances, body=body, headers=principal("raj@contoso.com", "Operator")))[
        0
    ] == 202
    assert instances.started[0][2]["started_by"] == "raj@contoso.com"


async def test_somebody_who_has_signed_in_and_is_not_named_starts_nothing(
    office: SimulatedOffice, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    body = {"image": "win11", "version": "2.0.0"}

    status, problem, _ = await call(
        rollouts.start_rollout, instances, body=body, headers={"X-MS-CLIENT-PRINCIPAL": "nonsense"}
    )
    assert (status, problem["code"]) == (403, "UnknownCaller")
    assert instances.started == []


async def test_a_rollout_that_has_ended_is_shown_with_its_result(office: SimulatedOffice, instances: Instances) -> None:
    id = id_of(office)
    result = {
        "image": "win11",
        "version": "2.0.0",
        "phase": Phase.HALTED,
        "message": "1 host pool: 1 Halted",
        "pools": [{"pool": "office", "phase": Phase.HALTED, "message": "the canary failed"}],
        "smoke_tests": {"office": "avd-001: exit code 1: Contoso is missing"},
    }
    told = {"image": "win11", "version": "2.0.0", "phase": Phase.HALTED, "pools": {"office": Phase.HALTED}}
    instances.add(id, runtime="Completed", output=result, customStatus=told)

    _, body, _ = await show(instances, id)

    assert (body["phase"], body["message"]) == (Phase.HALTED, "1 host pool: 1 Halted")
    assert body["pools"] == result["pools"]
    assert body["smoke_tests"] == result["smoke_tests"]


async def test_a_rollout_just_started_is_scheduled(office: SimulatedOffice, instances: Instances) -> None:
    await start(instances)

    _, body, _ = await show(instances, id_of(office))

    assert (body["phase"], body["pools"]) == (Phase.SCHEDULED, [])


@pytest.mark.parametrize(("runtime", "output"), [("Failed", "a bug\nwith a stack"), ("Terminated", None)])
async def test_an_orchestration_that_died_is_shown_as_failed_with_its_first_line(
    office: SimulatedOffice, instances: Instances, runtime: str, output: Any
) -> None:
    told = {"image": "win11", "version": "2.0.0", "phase": Phase.ROLLING, "pools": {"office": Phase.ROLLING}}
    instances.add(id_of(office), runtime=runtime, output=output, customStatus=told)
    instances.add(f"{id_of(office)}:office", name="roll_host_pool", runtime=runtime, output=output)

    _, body, _ = await show(instances, id_of(office))

    assert (body["phase"], body["pools"][0]["phase"]) == (Phase.FAILED, Phase.FAILED)
    assert body["message"] in ("a bug", "the orchestration was terminated")


@pytest.mark.parametrize(
    "id", ["image-x-1.0.0-abcdef", "image-x:office", "../../secrets", "@host_pool@x", "", "x" * 5000]
)
async def test_what_is_no_rollout_is_not_found(instances: Instances, id: str) -> None:
    status, problem, headers = await show(instances, id)

    assert (status, problem["code"]) == (404, "NoSuchRollout")
    assert headers["type"] == "application/problem+json"
    assert len(problem["detail"]) < 300


# ---------------------------------------------------------------------------------------------------- page by page


async def page(instances: Instances, **params: str) -> tuple[list[str], str, Any]:
    status, body, _ = await call(rollouts.list_rollouts, instances, params=params)
    return [rollout["id"] for rollout in body.get("rollouts", ())], body.get("next", ""), (status, body)


@pytest.fixture
def many(instances: Instances) -> Instances:
    """Seventy rollouts with two host pools each, every seventh of them paused."""
    for number in range(70):
        id = f"image-gal-win11-1.0.{number:02}-abcdef"
        phase = Phase.PAUSED if number % 7 == 0 else Phase.ROLLING
        pools = {"office": phase, "branch" if number % 2 else "depot": phase}
        instances.add(id, customStatus={"image": "win11" if number < 60 else "win10", "phase": phase, "pools": pools})
        for pool in pools:
            instances.add(f"{id}:{pool}", name="roll_host_pool")
    return instances


async def test_every_rollout_comes_once_and_the_last_page_has_no_next(many: Instances) -> None:
    seen, token = [], ""
    async with many.listed():
        for _ in range(20):
            found, token, _ = await page(many, limit="20", token=token)
            assert len(found) <= 20
            seen += found
            if not token:
                break

    assert sorted(seen) == [id for id in sorted(many.known) if ":" not in id]


async def test_roll_backs_are_listed_too_wherever_a_page_ends(many: Instances) -> None:
    backs = [f"back-gal-win11-1.0.{number:02}-abcdef" for number in range(5)]
    for id in backs:
        many.add(id, name="roll_back_image", customStatus={"image": "win11", "phase": Phase.ROLLING_BACK, "pools": {}})
    for limit in ("3", "5", "100"):
        seen, token = [], ""
        async with many.listed():
            for _ in range(40):
                found, token, _ = await page(many, limit=limit, token=token)
                seen += found
                if not token:
                    break

        assert sorted(seen) == [*backs, *(id for id in sorted(many.known) if id.startswith("image-") and ":" not in id)]


async def test_a_list_can_be_narrowed_and_costs_a_bounded_number_of_looks(many: Instances) -> None:
    async with many.listed():
        paused, token, _ = await page(many, phase="paused", limit="100")
        assert (len(paused), token) == (10, "")
        assert len((await page(many, image="win10", limit="100"))[0]) == 10
        assert len((await page(many, pool="depot", limit="100"))[0]) == 35
        since = many.known["image-gal-win11-1.0.69-abcdef"]["createdTime"].replace("+00:00", "Z")
        assert (await page(many, since=since))[0] == ["image-gal-win11-1.0.69-abcdef"]
        many.pages = 0
        found, token, _ = await page(many, image="nobody's", limit="1")
        assert (found, many.pages) == ([], rollouts.MOST_PAGES)
        assert token


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "\u0661"}, "limit"),
        ({"limit": "9" * 5_000}, "limit"),
        ({"since": "yesterday"}, "since"),
        ({"token": "%%%"}, "token"),
        ({"token": "\u00e9"}, "token"),
        ({"token": "DQpYOiB5"}, "token"),
    ],
)
async def test_a_query_that_cannot_be_read_names_its_field(
    instances: Instances, params: dict[str, str], field: str
) -> None:
    _, _, (status, problem) = await page(instances, **params)

    assert (status, problem["code"], problem["field"]) == (400, "BadRequest", field)
