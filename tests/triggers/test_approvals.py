"""The HTTP API for people's answers: who may approve or reject what, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from rollout.gates import read_approval
from tests.triggers.durable import Instances, as_client, function_of, principal
from triggers import approvals

ROLLOUT = "image-gal-win11-2.0.0-abcdef"
ASKED = {"ring": "validation", "since": "2026-11-12T14:00:00Z", "roles": ["Approver"]}
SHOWN = {"image": "win11", "rings": {"validation": "Proving", "people": "Waiting"}, "asked": ASKED}


APPROVER = principal("andrea@contoso.com", "Approver")


@pytest.fixture(autouse=True)
def authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    """App Service authentication is switched on."""
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")


@pytest.fixture
def asking(instances: Instances) -> Instances:
    """A rollout whose first ring waits for an approval."""
    instances.add(ROLLOUT, customStatus=SHOWN)
    return instances


async def send(
    instances: Instances,
    body: Any = None,
    headers: dict[str, str] = APPROVER,
    rollout: str = ROLLOUT,
    function: Any = approvals.approve_ring,
) -> tuple[int, Any]:
    given = {"reason": "it works"} if body is None else body
    encoded = given if isinstance(given, bytes) else json.dumps(given).encode()
    request = func.HttpRequest(
        method="POST", url="http://x/api", headers=headers, route_params={"id": rollout}, body=encoded
    )
    response = await function_of(function)(request, as_client(instances))
    if response.status_code >= 400:
        assert response.mimetype == "application/problem+json"
    return response.status_code, json.loads(response.get_body())


async def test_an_approval_is_passed_on_to_the_rollout_with_who_and_why(asking: Instances) -> None:
    status, body = await send(asking)

    assert status == 202
    assert body == {"id": ROLLOUT, "ring": "validation", "decision": "approve", "by": "andrea@contoso.com"}
    ((instance, name, raised),) = asking.raised
    assert (instance, name) == (ROLLOUT, "approval")
    approval = read_approval(json.dumps(raised))
    assert approval is not None
    assert (approval.ring, approval.decision, approval.by) == ("validation", "approve", "andrea@contoso.com")
    assert (approval.roles, approval.reason) == (("Approver",), "it works")


async def test_a_rejection_is_passed_on_as_one(asking: Instances) -> None:
    status, body = await send(asking, {"reason": "printing is broken"}, function=approvals.reject_ring)

    assert (status, body["decision"]) == (202, "reject")
    assert asking.raised[0][2]["decision"] == "reject"


async def test_a_ring_can_be_named_so_that_nobody_approves_another_one_by_accident(asking: Instances) -> None:
    assert (await send(asking, {"reason": "x", "ring": "validation"}))[0] == 202
    status, body = await send(asking, {"reason": "x", "ring": "people"})
    assert (status, body["code"]) == (409, "NotAsked")
    status, body = await send(asking, {"reason": "x", "ring": "pilots"})
    assert (status, body["code"]) == (404, "NoSuchRing")
    assert len(asking.raised) == 1


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (principal("raj@contoso.com", "Operator"), "WrongRole"),
        (principal("raj@contoso.com"), "RoleNeeded"),
        ({}, "WrongRole"),
        ({"X-MS-CLIENT-PRINCIPAL": "nonsense"}, "UnknownCaller"),
    ],
    ids=["another role", "no role", "a function key only", "unreadable"],
)
async def test_who_is_no_approver_is_refused(asking: Instances, headers: dict[str, str], code: str) -> None:
    status, body = await send(asking, headers=headers)

    assert (status, body["code"]) == (403, code)
    assert asking.raised == []


async def test_the_principal_counts_for_nothing_where_anybody_could_send_it(
    asking: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEBSITE_AUTH_ENABLED")
    assert (await send(asking))[0] == 403


async def test_a_function_key_is_enough_where_the_policy_says_so(instances: Instances) -> None:
    instances.add(ROLLOUT, customStatus={**SHOWN, "asked": {**ASKED, "roles": ["FunctionKey"]}})
    assert (await send(instances, headers={}))[0] == 202


async def test_who_started_the_rollout_is_refused_when_somebody_else_must_answer(instances: Instances) -> None:
    instances.add(ROLLOUT, customStatus={**SHOWN, "asked": {**ASKED, "not_by": "ANDREA@contoso.com"}})
    status, body = await send(instances)
    assert (status, body["code"]) == (403, "SamePerson")


@pytest.mark.parametrize("shown", [None, {}, "text", {"rings": {"validation": "Rolling"}}, {"asked": 7}])
async def test_nobody_is_asked_by_a_rollout_that_shows_no_question(instances: Instances, shown: Any) -> None:
    instances.add(ROLLOUT, customStatus=shown)
    status, body = await send(instances)
    assert (status, body["code"]) == (409, "NotAsked")
    assert instances.raised == []


@pytest.mark.parametrize("rollout", ["image-unknown", "", "../x", f"{ROLLOUT}:office"])
async def test_a_rollout_that_does_not_exist_is_not_found(asking: Instances, rollout: str) -> None:
    asking.add(f"{ROLLOUT}:office", name="roll_host_pool", customStatus=SHOWN)
    assert (await send(asking, rollout=rollout))[0] == 404


async def test_a_rollout_that_has_ended_takes_no_answer(instances: Instances) -> None:
    instances.add(ROLLOUT, runtime="Completed", customStatus=SHOWN)
    status, body = await send(instances)
    assert (status, body["code"]) == (409, "HasEnded")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        {},
        {"reason": ""},
        {"reason": 1},
        {"reason": "x" * 301},
        {"reason": "x", "force": 1},
        {"reason": "x", "ring": "y" * 200},
    ],
)
async def test_a_body_that_is_no_answer_is_refused_with_an_example(asking: Instances, body: Any) -> None:
    status, problem = await send(asking, body)
    assert (status, problem["code"]) == (400, "BadRequest")
    assert "printing works" in problem["detail"]
    assert asking.raised == []
