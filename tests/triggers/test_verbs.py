"""Every verb in every phase of a rollout does what the table in docs/api.md says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import azure.functions as func
import msgspec
import pytest

from rollout.instance_ids import pool_instance
from rollout.model import QUARANTINE_TAG, RETAINED_TAG, ROLLOUT_TAG, Phase
from rollout.pool_view import HostState
from rollout.status import PoolStatus
from simulator.machines import Power
from tests.adapters.office import SimulatedOffice
from tests.triggers.durable import Instances, as_client, function_of, principal
from tests.triggers.telling import ROLLOUT, a_pool_at_work, begin, queued
from triggers import approvals, commands, host_commands
from triggers.routes import ROUTES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
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


def cells(of: str = "rollout") -> list[tuple[str, str, str]]:
    table = PAGE.partition(f"| The {of} |")[2].partition("\n\n")[0].splitlines()
    verbs = [verb.strip() for verb in table[0].strip(" |").split("|")]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table[2:]]
    return [(row[0], verb, cell) for row in rows for verb, cell in zip(verbs, row[1:], strict=True)]


@pytest.mark.parametrize(("situation", "verb", "expected"), cells())
async def test_a_verb_does_what_the_table_says(
    office: SimulatedOffice,
    instances: Instances,
    monkeypatch: pytest.MonkeyPatch,
    situation: str,
    verb: str,
    expected: str,
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    begin(
        office,
        instances,
        {} if situation.startswith("Ended") else shown(situation),
        ended=situation.startswith("Ended"),
    )
    if situation.startswith(("Rolling", "Paused")):
        a_pool_at_work(instances, PoolStatus("office", "2.0.0", Phase.ROLLING))

    assert await told(instances, verb, host="avd-000" if verb == "skip" else "") == expected
    if verb in ("skip", "retry"):
        assert bool(queued(office, instances)) is (expected == "202")
        assert instances.raised == []
    else:
        assert bool(instances.raised) is (expected == "202")


@pytest.mark.parametrize(("situation", "verb", "expected"), cells("host pool"))
async def test_a_host_pool_takes_what_the_table_says(
    office: SimulatedOffice, instances: Instances, situation: str, verb: str, expected: str
) -> None:
    begin(office, instances, {"phase": "Rolling"})
    phase, _, more = situation.partition(", ")
    reasons = {"aborted": "AbortedByOperator", "rolled back": "RollBackRequested", "superseded": "NewerVersion"}
    if situation != "Has not begun":
        ended = phase == "Ended"
        known = Phase.SUCCEEDED if ended else Phase(phase)
        a_pool_at_work(instances, PoolStatus("office", "2.0.0", known, reason=reasons.get(more, "")), ended=ended)

    assert await told(instances, verb, pool="office", host="avd-000" if verb == "skip" else "") == expected
    assert bool(queued(office, instances)) is (expected == "202")


@pytest.mark.parametrize(("state", "verb", "expected"), cells("session host"))
async def test_a_session_host_is_skipped_and_retried_as_the_table_says(
    office: SimulatedOffice, instances: Instances, state: str, verb: str, expected: str
) -> None:
    begin(office, instances, {"phase": "Rolling"})
    status = PoolStatus("office", "2.0.0", Phase.ROLLING)
    more = {
        "Draining": {"draining": {"2026-11-23T16:00:00Z": "avd-000"}},
        "Skipped": {"skipped": {"avd-000": "GracePeriodEnded"}},
        "Quarantined": {"quarantined": {"avd-000": "NotReadyInTime"}},
    }
    a_pool_at_work(instances, msgspec.structs.replace(status, **more.get(state, {})))
    put_into(office, state.partition(" by ")[0])

    name = "nobody" if state == "No such host" else "AVD-000"
    assert await told(instances, verb, pool="office", host=name) == expected
    assert [command["host"] for command in queued(office, instances)] == (["avd-000"] if expected == "202" else [])


def test_the_table_has_every_state_that_a_session_host_can_be_in() -> None:
    assert {state for state, _, _ in cells("session host")} == {
        *HostState,
        "Quarantined by an earlier rollout",
        "No such host",
    }


async def told(instances: Instances, verb: str, **body: str) -> str:
    """What the app answers to a verb: the status, and the code of the problem if it is one."""
    function = next(route.function for route in ROUTES if route.path.endswith(f"/{verb}"))
    request = func.HttpRequest(
        method="POST",
        url=f"http://127.0.0.1:7071/api/rollouts/{ROLLOUT}/{verb}",
        headers=principal("andrea@contoso.com", "Operator", "Approver"),
        route_params={"id": ROLLOUT},
        body=json.dumps({"reason": "why", **({"pool": "office"} if body.get("host") else {}), **_said(body)}).encode(),
    )
    module = next(one for one in (approvals, host_commands, commands) if hasattr(one, function))
    response = await function_of(getattr(module, function))(request, as_client(instances))
    return f"{response.status_code} {json.loads(response.get_body()).get('code', '')}".strip()


def _said(body: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in body.items() if value}


def put_into(office: SimulatedOffice, state: str) -> None:
    """Let Azure show avd-000 in this state of a rollout."""
    machines, hosts, id = office.estate.machines, office.estate.hosts, office.office.machine_id("avd-000")
    machine = machines.get(id)
    held = {**machine.tags, ROLLOUT_TAG: pool_instance(ROLLOUT, "office")}
    tags = {
        "Steered": held,
        "Draining": held,
        "Retained": {**machine.tags, RETAINED_TAG: "2026-12-24T00:00:00Z"},
        "Provisioning": held,
        "Joining": held,
        "Verifying": held,
        "Quarantined": {**machine.tags, QUARANTINE_TAG: "NotReadyInTime"},
    }
    machines.patch_tags(id, tags.get(state, machine.tags))
    if state in ("Steered", "Draining", "Verifying", "Quarantined", "Retained"):
        hosts.update(office.pool_id, "avd-000", allow_new_session=False)
    if state in ("Verifying", "Current", "Quarantined"):
        machine.image_id, machine.exact_version = office.office.version_id("2.0.0"), "2.0.0"
    if state in ("Provisioning", "Joining"):
        hosts.delete(office.pool_id, "avd-000", force=True)
    if state == "Retained":
        machine.power = Power.DEALLOCATED
    if state == "Removing":
        machines.delete(id)
    elif state == "Provisioning":
        machine.provisioning_state = "Creating"


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
