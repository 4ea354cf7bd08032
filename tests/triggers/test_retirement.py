"""Retirement's ways in: the timer, the plan over HTTP, and the request to carry it out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import azure.functions as func
import msgspec
import pytest
from azure.functions.timer import TimerRequest

from demo.old_versions import CURRENT, FATES, fill_gallery
from rollout.instance_ids import image_instance, retirement_instance
from rollout.retention import as_retired
from rollout.retirement import Retirement
from simulator.builders import SUBSCRIPTION
from simulator.errors import AzureError
from simulator.faults import Site
from tests.adapters.office import SimulatedOffice, simulated_office
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import Instances, as_client, function_of, principal
from triggers import retirement

URL = "http://127.0.0.1:7071/api/images/win11/retirement"


@pytest.fixture
def office() -> Iterator[SimulatedOffice]:
    """An office with the twelve versions, as old as they must be on every day to come."""
    with simulated_office(current_version=CURRENT) as office:
        fill_gallery(office.office, office.clock())
        for number in ("1.0.0", "1.4.0"):
            version = office.estate.galleries.version(office.office.version_id(number))
            version.end_of_life = office.clock() - timedelta(days=1000)
            version.tags = as_retired(version.tags, version.end_of_life)
        version = office.estate.galleries.version(office.office.version_id("1.5.0"))
        version.end_of_life = office.clock() + timedelta(days=36500)
        yield office


async def ask(
    function: Any, instances: Instances, *, name: str = "win11", body: Any = b"", headers: Any = None
) -> tuple[int, Any]:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = func.HttpRequest(method="GET", url=URL, body=body, route_params={"name": name}, headers=headers or {})
    response = await function_of(function)(given, as_client(instances))
    return response.status_code, json.loads(response.get_body())


async def show(instances: Instances, name: str = "win11") -> tuple[int, Any]:
    return await ask(retirement.show_retirement, instances, name=name)


async def apply(instances: Instances, **given: Any) -> tuple[int, Any]:
    return await ask(retirement.start_retirement, instances, **given)


async def tick(instances: Instances) -> None:
    await function_of(retirement.retire)(TimerRequest(), as_client(instances))


def id_of(office: SimulatedOffice) -> str:
    return retirement_instance(office.office.definition_id)


# ----------------------------------------------------------------------------------------------------------- the plan


async def test_the_plan_says_of_each_version_what_happens_and_why_and_changes_nothing(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace("  - name: unused", "    retention: {pinned: [1.3.0]}\n  - name: unused")
    status, body = await show(instances)

    assert status == 200
    actions = {entry["version"]: entry["actions"] for entry in body["versions"]}
    wanted = {
        "keep": ["keep"],
        "delete": ["delete"],
        "change": ["mark_as_retired", "exclude_from_latest", "set_end_of_life"],
    }
    assert actions == {number: wanted[fate] for number, fate in FATES.items()}
    assert all(entry["reason"] for entry in body["versions"])
    assert {entry["version"] for entry in body["versions"] if entry["protected"]} == {
        *("1.1.0", "1.2.0", "1.3.0", "1.8.0", "2.0.0", "2.1.0")
    }
    assert (body["image"], body["mode"]) == ("win11", "plan")
    assert body["message"] == "4 versions: 2 to change, 2 to delete"
    assert {method for method, _, _ in office.requests} == {"GET"}
    assert instances.started == []


async def test_a_version_that_is_being_rolled_out_is_protected_in_the_plan(
    office: SimulatedOffice, instances: Instances
) -> None:
    instances.add(image_instance(office.office.version_id("1.0.0"), 2))

    _, body = await show(instances)
    reasons = {entry["version"]: entry["reason"] for entry in body["versions"]}
    assert "is rolling it out" in reasons["1.0.0"]


async def test_the_plan_tells_how_the_last_run_went(office: SimulatedOffice, instances: Instances) -> None:
    assert "last_run" not in (await show(instances))[1]

    output = {"image": "win11", "message": "2 versions: 2 deleted", "apply": True}
    instances.add(id_of(office), name="retire_image_versions", runtime="Completed", output=output)
    last = (await show(instances))[1]["last_run"]
    assert (last["id"], last["status"], last["message"]) == (id_of(office), "Completed", "2 versions: 2 deleted")


async def test_what_cannot_be_read_is_said_in_the_plan(office: SimulatedOffice, instances: Instances) -> None:
    office.faults.fail_next("LIST", "virtualMachines$", AzureError(403, "AuthorizationFailed", "The client may not."))

    status, body = await show(instances)
    assert status == 200
    assert "cannot be listed: AuthorizationFailed" in body["message"]
    assert {tuple(entry["actions"]) for entry in body["versions"]} == {("keep",)}


async def test_an_unknown_image_is_not_found(office: SimulatedOffice, instances: Instances) -> None:
    for function in (retirement.show_retirement, retirement.start_retirement):
        status, body = await ask(function, instances, name="win12")
        assert (status, body["code"]) == (404, "UnknownImage")
        assert "it has unused, win11" in body["detail"]


async def test_a_gallery_that_cannot_be_read_is_a_problem(office: SimulatedOffice, instances: Instances) -> None:
    office.faults.fail_next("LIST", "/versions$", Site.SERVER_ERROR)

    status, body = await show(instances)
    assert (status, body["code"]) == (502, "AzureUnreadable")


async def test_a_policy_that_cannot_be_used_is_a_problem(instances: Instances, policy_file: PolicyFile) -> None:
    policy_file.write("nonsense")

    for function in (retirement.show_retirement, retirement.start_retirement):
        status, body = await ask(function, instances)
        assert (status, body["code"]) == (503, "PolicyUnusable")


# ------------------------------------------------------------------------------------------------------ carrying it out


async def test_a_request_starts_a_run_that_applies_and_says_who_asked_and_why(
    office: SimulatedOffice, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    status, body = await apply(
        instances, body={"reason": "make room"}, headers=principal("ada@contoso.com", "Operator")
    )

    assert (status, body) == (202, {"id": id_of(office), "image": "win11"})
    ((name, id, given),) = instances.started
    assert (name, id) == ("retire_image_versions", id_of(office))
    assert (given["apply"], given["by"], given["why"]) == (True, "ada@contoso.com", "make room")


async def test_a_caller_whom_the_platform_does_not_vouch_for_is_not_named(
    office: SimulatedOffice, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(
        instances, headers={**principal("ada@contoso.com", "Operator"), "x-ms-client-principal-name": "eve@contoso.com"}
    )
    assert instances.started[0][2]["by"] == "somebody with a function key"

    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    status, body = await apply(instances, headers={"X-MS-CLIENT-PRINCIPAL": "nonsense"})
    assert (status, body["code"]) == (403, "UnknownCaller")


@pytest.mark.parametrize("start", [apply, tick])
async def test_whoever_is_told_of_rollouts_is_told_of_what_is_retired(
    office: SimulatedOffice, instances: Instances, monkeypatch: pytest.MonkeyPatch, start: Any
) -> None:
    monkeypatch.setenv("GOLDROLL_WEBHOOK", "https://hooks.example/1")
    await start(instances)
    assert {given["notified"] for _, _, given in instances.started} == {("webhook",)}


async def test_asking_twice_starts_one_run(office: SimulatedOffice, instances: Instances) -> None:
    await apply(instances)
    status, body = await apply(instances)

    assert (status, body["id"], len(instances.started)) == (200, id_of(office), 1)


async def test_two_requests_at_the_same_moment_start_one_run(office: SimulatedOffice, instances: Instances) -> None:
    instances.racing = True

    assert await apply(instances) == (200, {"id": id_of(office), "image": "win11"})


async def test_a_durable_that_does_not_answer_fails_the_request(office: SimulatedOffice, instances: Instances) -> None:
    instances.broken = True

    with pytest.raises(Exception, match="status code 500"):
        await apply(instances)


@pytest.mark.parametrize("body", [b"{", b"[]", {"reason": 7}, {"force": True}])
async def test_a_body_that_cannot_be_read_is_answered_as_a_problem(
    office: SimulatedOffice, instances: Instances, body: Any
) -> None:
    status, problem = await apply(instances, body=body)

    assert (status, problem["code"], instances.started) == (400, "BadRequest", [])


# ------------------------------------------------------------------------------------------------------------ the timer


async def test_the_timer_plans_for_each_image_and_applies_where_the_policy_says_so(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    policy_file.replace("host_pools:", "    retention: {mode: apply}\nhost_pools:")
    await tick(instances)

    started = [msgspec.convert(given, Retirement) for _, _, given in instances.started]
    assert [(run.image.name, run.apply, run.by) for run in started] == [
        ("win11", False, "schedule"),
        ("unused", True, "schedule"),
    ]


MARKETPLACE = "marketplace: {publisher: MicrosoftWindowsDesktop, offer: office-365, sku: win11-24h2-avd-m365}"


async def test_single_versions_and_images_of_the_marketplace_are_not_retired(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    version_id = office.office.version_id("1.3.0").replace("/images/", "/images/older-")
    named = f"  - name: fixed\n    version_id: {version_id}\n  - name: shop\n    {MARKETPLACE}\n"
    policy_file.replace("host_pools:", f"{named}host_pools:")
    await tick(instances)

    started = [msgspec.convert(given, Retirement) for _, _, given in instances.started]
    assert [run.image.name for run in started] == ["win11", "unused"]
    for name in ("fixed", "shop"):
        for function in (retirement.show_retirement, retirement.start_retirement):
            status, body = await ask(function, instances, name=name)
            assert (status, body["code"]) == (409, "NothingToRetire")


async def test_a_run_that_is_under_way_is_not_started_again_by_the_timer(
    office: SimulatedOffice, instances: Instances
) -> None:
    await apply(instances)
    await tick(instances)

    assert [given["image"]["name"] for _, _, given in instances.started] == ["win11", "unused"]


async def test_a_broken_policy_is_told_and_nothing_is_started(
    instances: Instances, policy_file: PolicyFile, caplog: pytest.LogCaptureFixture
) -> None:
    policy_file.write("nonsense")
    await tick(instances)

    assert instances.started == []
    assert "nothing is retired, the policy cannot be used" in caplog.text


async def test_users_are_looked_for_wherever_an_id_of_the_policy_points(
    office: SimulatedOffice, instances: Instances, policy_file: PolicyFile
) -> None:
    further = "99999999-2222-4333-8444-555555555555"
    policy_file.replace("host_pools:", f"    retention: {{subscriptions: [{further}]}}\nhost_pools:")
    await tick(instances)

    assert instances.started[0][2]["subscriptions"] == (SUBSCRIPTION, further)
