"""No page of another site gives a command in the name of whoever is signed in."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from tests.adapters.office import SimulatedOffice
from tests.triggers.durable import Instances, as_client, function_of, principal
from triggers import approvals, commands, retirement, rollouts
from triggers.origin import refuse_other_sites

CHANGES = [
    rollouts.start_rollout,
    retirement.start_retirement,
    commands.pause_rollout,
    commands.resume_rollout,
    commands.abort_rollout,
    approvals.approve_ring,
    approvals.reject_ring,
]

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": FORM},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://goldroll.azurewebsites.net"},
        {"sec-fetch-site": "none"},
        {"Origin": "https://goldroll.azurewebsites.net", "Content-Type": "application/json; charset=utf-8"},
    ],
    ids=["curl", "curl as it sends a form", "our page", "the address bar", "our page in an old browser"],
)
def test_our_page_and_programs_are_let_through(headers: dict[str, str]) -> None:
    assert refuse_other_sites(headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"},
        {"SEC-FETCH-SITE": "Same-Site"},
        {"Sec-Fetch-Site": "something new"},
        {"Origin": "https://evil.example", "Content-Type": FORM},
        {"Origin": "null"},
    ],
    ids=["another site", "a neighbour", "an unknown word", "a form in an old browser", "a sandbox in an old browser"],
)
def test_other_pages_are_refused(headers: dict[str, str]) -> None:
    refused = refuse_other_sites(headers)

    assert refused is not None
    assert (refused.status_code, json.loads(refused.get_body())["code"]) == (403, "OtherSite")


@pytest.mark.parametrize("function", CHANGES, ids=lambda function: function._function.get_function_name())
async def test_whatever_changes_something_asks_where_a_request_comes_from(
    function: Any, office: SimulatedOffice, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    request = func.HttpRequest(
        method="POST",
        url="http://127.0.0.1:7071/api/rollouts",
        body=b'{"image": "win11", "version": "2.0.0", "reason": "because"}',
        headers={"Sec-Fetch-Site": "cross-site", **principal()},
    )

    response = await function_of(function)(request, as_client(instances))

    assert (response.status_code, json.loads(response.get_body())["code"]) == (403, "OtherSite")
    assert (instances.started, instances.raised, instances.entities) == ([], [], {})
