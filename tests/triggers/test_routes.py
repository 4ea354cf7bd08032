"""The table of routes of the HTTP API: nothing is missing, and everybody is asked for a role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from localhost.app import load_app
from tests.triggers.durable import Instances, as_client, function_of, principal
from triggers import (
    approvals,
    commands,
    description,
    freezing,
    host_commands,
    images,
    plans,
    pools,
    records,
    retirement,
    roll_backs,
    rollouts,
)
from triggers.routes import ROUTES, Route

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    approvals,
    commands,
    host_commands,
    description,
    freezing,
    images,
    plans,
    pools,
    records,
    retirement,
    roll_backs,
    rollouts,
)


@pytest.fixture(autouse=True)
def authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    """App Service authentication is switched on."""
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")


def called(route: Route) -> str:
    return f"{route.method} {route.path}"


async def call(route: Route, instances: Instances, *roles: str) -> tuple[int, Any]:
    function = next(getattr(module, route.function) for module in MODULES if hasattr(module, route.function))
    request = func.HttpRequest(
        method=route.method,
        url=f"http://127.0.0.1:7071/api/{route.path}",
        headers={**principal("mallory@contoso.com", *roles), "Content-Type": "application/json"},
        route_params={"id": "image-gal-win11-2.0.0-abcdef", "name": "win11"},
        body=b'{"reason": ""}' if route.body is not None else b"",
    )
    bare = function_of(function)
    answered = (
        bare(request)
        if route.function in ("describe_api", "show_regions", "make_plan", "show_events", "show_record")
        else bare(request, as_client(instances))
    )
    response = await answered if hasattr(answered, "__await__") else answered
    return response.status_code, json.loads(response.get_body())


def test_every_registered_route_is_in_the_table_and_the_reverse() -> None:
    registered = {
        (method, function.trigger["route"], function.name)
        for function in load_app(ROOT).of_kind("httpTrigger")
        for method in function.trigger["methods"]
        if function.trigger["authLevel"] != "ANONYMOUS"  # files of the page, which hold no data
    }

    assert {(route.method, route.path, route.function) for route in ROUTES} == registered


@pytest.mark.parametrize("route", ROUTES, ids=called)
async def test_who_has_signed_in_without_a_role_may_do_nothing(route: Route, instances: Instances) -> None:
    status, body = await call(route, instances)

    assert (status, body["code"]) == (403, "RoleNeeded")
    assert body["detail"] == f"mallory@contoso.com has none: this needs the app role {route.role}"
    assert (instances.raised, instances.started, instances.entities) == ([], [], {})


@pytest.mark.parametrize("route", [route for route in ROUTES if route.role == "Operator"], ids=called)
@pytest.mark.parametrize("role", ["Reader", "Approver", "Guest"])
async def test_who_may_only_look_or_approve_may_not_operate(route: Route, role: str, instances: Instances) -> None:
    status, body = await call(route, instances, role)

    assert (status, body["code"]) == (403, "RoleNeeded")
    assert "this needs the app role Operator" in body["detail"]
    assert (instances.raised, instances.started, instances.entities) == ([], [], {})


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.body is not None and route.body_required], ids=called
)
async def test_whoever_may_do_it_is_told_which_field_is_wrong(route: Route, instances: Instances) -> None:
    status, body = await call(route, instances, str(route.role))

    assert (status, body["code"]) == (400, "BadRequest")
    assert body["field"] in ("reason", "image", "until")
