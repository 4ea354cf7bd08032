"""The HTTP API for plans: it reads Azure as it is, answers at length, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from adapters.errors import StepFailed
from demo.surroundings import furnish
from rollout.steps import StepError
from simulator.builders import SUBSCRIPTION
from simulator.faults import Site
from tests.adapters.office import EXCLUSION_TAG, SimulatedOffice
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import function_of
from triggers import planning, plans


def ask(body: Any) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = func.HttpRequest(method="POST", url="http://127.0.0.1:7071/api/plan", body=content)
    response = function_of(plans.make_plan)(request)
    return response.status_code, json.loads(response.get_body())


def test_a_plan_says_what_would_happen_and_changes_nothing(office: SimulatedOffice) -> None:
    status, plan = ask({"image": "win11"})

    assert status == 200
    assert (plan["image"], plan["version"]) == ("win11", "2.0.0")
    assert plan["message"] == "1 host pool would be rolled; 3 hosts would be replaced with version 2.0.0"
    assert plan["regions"] == {"westeurope": "ready"}
    pool = plan["pools"][0]
    assert [host["order"] for host in pool["hosts"]] == [1, 2, 3]
    assert pool["limits"]["surge"] == 1
    assert pool["forecast"]["ends"] == {"Succeeded": 20}
    assert pool["forecast"]["duration"]["p50"] <= pool["forecast"]["duration"]["p95"]
    assert {method for method, _, _ in office.requests} == {"GET"}


def test_a_plan_without_a_forecast_is_the_same_without_times(office: SimulatedOffice) -> None:
    _, plan = ask({"image": "win11", "version": "2.0.0", "forecast": False})
    assert "forecast" not in plan["pools"][0]
    assert plan["pools"][0]["limits"]["outdated"] == 3


def checked(body: dict[str, Any]) -> Any:
    status, plan = ask({"image": "win11", "forecast": False, **body})
    assert (status, plan["checked"]) == (200, True)
    return plan


def test_a_plan_says_that_everything_fits_and_which_quota_it_needs(
    office: SimulatedOffice, policy_file: PolicyFile
) -> None:
    policy_file.replace("    image: win11\n", f"    image: win11\n    scaling_exclusion_tag: {EXCLUSION_TAG}\n")
    furnish(office.estate, office.whole_policy(), "westeurope")

    plan = checked({})

    assert "findings" not in plan
    need = {"image": "win11", "ring": "", "subscription": SUBSCRIPTION, "region": "westeurope", "family": "cores"}
    (all_families,) = [one for one in plan["quota"] if one["family"] == "cores"]
    assert {key: all_families[key] for key in need} == need
    assert (all_families["needed"], all_families["pools"]) == (4, {"office": 4})
    assert all_families["left"] == all_families["limit"] - 3 * 4


def test_a_plan_says_what_the_identity_lacks_and_where_quota_is_short(office: SimulatedOffice) -> None:
    furnish(office.estate, office.whole_policy(), "westeurope")
    office.access.revoke("Microsoft.Compute/virtualMachines/delete")
    office.estate.quota.set_limit(SUBSCRIPTION, "westeurope", 15)

    found = {one["id"]: one for one in checked({})["findings"]}

    assert found["PermissionMissing"]["severity"] == "error"
    assert "Microsoft.Compute/virtualMachines/delete" in found["PermissionMissing"]["found"]
    assert found["QuotaTooSmall"]["subject"] == "host pool office"
    assert "Ask for more quota" in found["QuotaTooSmall"]["remedy"]


def test_hosts_that_are_current_already_need_no_quota(office: SimulatedOffice) -> None:
    furnish(office.estate, office.whole_policy(), "westeurope")
    office.estate.quota.set_limit(SUBSCRIPTION, "westeurope", 12)

    plan = checked({"version": "1.0.0"})

    assert plan["pools"][0]["verdict"] == "nothing_to_do"
    assert "quota" not in plan
    assert "QuotaTooSmall" not in {one["id"] for one in plan["findings"]}


def test_the_version_of_the_plan_is_judged_not_the_newest(office: SimulatedOffice) -> None:
    furnish(office.estate, office.whole_policy(), "westeurope")
    office.estate.galleries.publish(office.office.version_id("3.0.0"), {"northeurope": 1}, location="northeurope")

    assert "ImageNotInRegion" in {one["id"] for one in checked({"version": "3.0.0"})["findings"]}
    assert "ImageNotInRegion" not in {one["id"] for one in checked({"version": "2.0.0"})["findings"]}


def test_what_cannot_be_checked_is_a_finding_and_the_plan_is_made_all_the_same(
    office: SimulatedOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> Any:
        raise StepFailed(StepError("ConnectionLost", "no route to Azure", retriable=True))

    monkeypatch.setattr(planning, "read_facts", lost)

    plan = checked({})

    assert plan["pools"][0]["verdict"] == "roll"
    assert [(one["id"], one["subject"]) for one in plan["findings"]] == [("CouldNotCheck", "Azure")]
    assert "no route to Azure" in plan["findings"][0]["found"]


def test_the_checks_can_be_left_out_and_cost_few_calls(office: SimulatedOffice) -> None:
    furnish(office.estate, office.whole_policy(), "westeurope")

    def calls(**body: Any) -> int:
        before = len(office.requests)
        status, plan = ask({"image": "win11", "forecast": False, **body})
        assert (status, "checked" in plan) == (200, body.get("checks", True))
        return len(office.requests) - before

    calls()  # what is kept for a while, such as scaling plans, is read once
    assert calls() - calls(checks=False) == 23  # docs/plan.md tells how many


def test_a_pool_that_cannot_be_read_is_part_of_the_plan(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "/sessionHosts", Site.THROTTLED)
    status, plan = ask({"image": "win11"})

    assert status == 200
    assert plan["pools"][0]["verdict"] == "unreadable"
    assert plan["pools"][0]["message"].startswith("the host pool cannot be read")


def test_a_plan_for_some_pools_leaves_the_others_out(office: SimulatedOffice, policy_file: PolicyFile) -> None:
    status, problem = ask({"image": "win11", "pools": ["nobody"]})
    assert (status, problem["code"]) == (404, "NoSuchPool")
    status, plan = ask({"image": "win11", "pools": ["office"], "forecast": False})
    assert (status, [pool["pool"] for pool in plan["pools"]]) == (200, ["office"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "BadRequest"),
        (b"[1]", 400, "BadRequest"),
        (b'{"image": "win11", "versoin": "1.0.0"}', 400, "BadRequest"),
        (b"{" + b" " * 20_000 + b"}", 413, "TooLarge"),
        (b'{"image": "win11", "version": "latest"}', 400, "BadRequest"),
        (b'{"image": "win12"}', 404, "UnknownImage"),
        (b'{"image": "win12", "version": "1.0.0"}', 404, "UnknownImage"),
        (b'{"image": "win11", "version": "9.9.9"}', 404, "NoSuchVersion"),
        (b'{"image": "unused"}', 409, "NothingEligible"),
    ],
)
def test_what_cannot_be_planned_is_a_problem(body: bytes, status: int, code: str) -> None:
    answered, problem = ask(body)
    assert (answered, problem["code"]) == (status, code)


def test_a_broken_policy_is_said(policy_file: PolicyFile) -> None:
    policy_file.write("images: [")
    status, problem = ask({"image": "win11"})
    assert (status, problem["code"]) == (503, "PolicyUnusable")


def test_azure_that_cannot_be_read_at_all_is_a_problem(office: SimulatedOffice) -> None:
    office.faults.fail_next("GET", "/versions", Site.THROTTLED)
    status, problem = ask({"image": "win11"})
    assert (status, problem["code"]) == (502, "AzureUnreadable")
