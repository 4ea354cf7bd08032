"""The HTTP API for plans: it reads Azure as it is, answers at length, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from simulator.faults import Site
from tests.adapters.office import SimulatedOffice
from tests.triggers.conftest import PolicyFile
from tests.triggers.durable import function_of
from triggers import plans


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
