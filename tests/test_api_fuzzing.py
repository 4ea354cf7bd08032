"""Whatever the description of the HTTP API allows, and much that it forbids, gets an answer that it describes."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.test_whole_app import World, a_world
from triggers.description import description
from triggers.routes import ROUTES

SCHEMA = schemathesis.openapi.from_dict(description())
EXAMPLES = 5
"""Requests for each route that are as described, and as many that are not."""


def operations() -> list[Any]:
    return [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]


def test_the_description_is_one_that_tools_can_read() -> None:
    SCHEMA.validate()

    assert {(one.method.upper(), one.path.lstrip("/")) for one in operations()} == {
        (route.method, route.path) for route in ROUTES
    }


async def test_no_request_that_can_be_made_up_finds_an_error_of_the_server(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        answered = await asyncio.to_thread(ask_for_everything, world)

    assert set(answered) >= {200, 400, 404}
    assert max(answered) < 500
    assert sum(answered.values()) >= len(ROUTES) * EXAMPLES


def ask_for_everything(world: World) -> Counter[int]:
    """Call every route in both ways; how often each status was answered."""
    answered: Counter[int] = Counter()
    for operation in operations():
        cases = st.one_of(
            operation.as_strategy(GenerationMode.POSITIVE),
            operation.as_strategy(GenerationMode.NEGATIVE) if negatable(operation) else st.nothing(),
        )

        @seed(20261126)
        @settings(
            max_examples=2 * EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def ask(case: Any) -> None:
            response = case.call(base_url=f"{world.host.base_url}/api", timeout=30)
            answered[response.status_code] += 1
            checks: list[Any] = [not_a_server_error]
            if response.content:
                # What no function answers for, such as an address with an empty part, has no body.
                checks += [status_code_conformance, response_schema_conformance]
            case.validate_response(response, checks=checks)

        ask()
    return answered


def negatable(operation: Any) -> bool:
    """There is something in its requests that could be wrong."""
    return bool(operation.body) or bool(list(operation.query)) or bool(list(operation.path_parameters))
