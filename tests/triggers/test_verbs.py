"""Every verb in every phase of a rollout does what the table in docs/api.md says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import azure.functions as func
import msgspec
import pytest

from rollout.model import Phase
from tests.triggers.durable import Instances, as_client, function_of, principal
from triggers import approvals, commands
from triggers.routes import ROUTES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
ROLLOUT = "image-gal-win11-2.0.0-abcdef"
POOL = {"name": "office", "host_pool_id": "/subscriptions/s/resourceGroups/g/providers/p/hostPools/hp-office"}
ASKED = {"ring": "first", "since": "2026-11-12T14:00:00Z", "roles": ["Approver"]}


def shown(situation: str) -> dict[str, Any]:
    """What a rollout in this row of the table shows."""
    phase, _, more = situation.partition(" ")
    told = {"by an operator": "pause", "aborted": "abort", "rolled back": "roll_back", "superseded": "supersede"}.get(
        more
    )
    status: dict[str, Any] = {"phase": Phase(phase.strip(",")), "rings": {"first": "Proving"}}
    if told:
        status["command"] = {"kind": told, "by": "raj@contoso.com"}
    return status | ({"asked": ASKED} if more == "somebody is asked" else {})


def cells() -> list[tuple[str, str, str]]:
    table = PAGE.partition("| The rollout |")[2].partition("\n\n")[0].splitlines()
    verbs = [verb.strip() for verb in table[0].strip(" |").split("|")]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table[2:]]
    return [(row[0], verb, cell) for row in rows for verb, cell in zip(verbs, row[1:], strict=True)]


@pytest.mark.parametrize(("situation", "verb", "expected"), cells())
async def test_a_verb_does_what_the_table_says(
    instances: Instances, monkeypatch: pytest.MonkeyPatch, situation: str, verb: str, expected: str
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    ended = situation.startswith("Ended")
    given = json.dumps({"version_id": "x", "pools": [POOL]})
    status = {} if ended else shown(situation)
    instances.add(ROLLOUT, runtime="Completed" if ended else "Running", input=given, customStatus=status)
    function = next(route.function for route in ROUTES if route.path.endswith(f"/{verb}"))
    request = func.HttpRequest(
        method="POST",
        url=f"http://127.0.0.1:7071/api/rollouts/{ROLLOUT}/{verb}",
        headers=principal("andrea@contoso.com", "Operator", "Approver"),
        route_params={"id": ROLLOUT},
        body=b'{"reason": "why"}',
    )
    module = approvals if function.endswith("_ring") else commands
    response = await function_of(getattr(module, function))(request, as_client(instances))

    code = json.loads(response.get_body()).get("code", "")
    assert f"{response.status_code} {code}".strip() == expected
    assert bool(instances.raised) is (expected == "202")


def test_the_table_has_every_phase_that_a_rollout_as_a_whole_can_be_in() -> None:
    phases = set()
    for path in ("rollout/rings.py", "rollout/freezing.py", "rollout/ring_state.py"):
        source = (Path(__file__).resolve().parents[2] / path).read_text(encoding="utf-8")
        phases |= set(re.findall(r"_say\((?:Phase\.(\w+))", source))
    listed = {re.split(r"[ ,]", situation)[0] for situation, _, _ in cells()}

    assert {Phase[name].value for name in phases} <= listed
    assert phases >= {"PAUSED", "ROLLING", "WAITING_WINDOW", "WAITING_GATE"}


def test_each_example_of_the_page_names_a_route_and_bears_a_body_that_it_takes() -> None:

    assert PAGE.count("\ncurl ") >= 6
    for line in re.findall(r"^curl .*$", PAGE, re.MULTILINE):
        found = re.search(r'curl(?: -X (\w+))? "\$APP/api/([^"?]+)', line)
        assert found
        method, path = found[1] or "GET", found[2].replace("$ID", "{id}")
        route = next(route for route in ROUTES if (route.method, route.path) == (method, path))
        body = re.search(r"-d '(.*)'$", line)
        assert bool(body) is (route.body is not None), line
        if body:
            msgspec.json.decode(body[1], type=route.body)
