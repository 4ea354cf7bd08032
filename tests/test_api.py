"""The HTTP API over HTTP, on the local host: what hostile callers get, paging, waiting, commands, the freeze."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from rollout.model import Phase
from tests.test_whole_app import World, a_world
from tests.triggers.durable import principal

ROLLOUT = {"image": "win11", "version": "2.0.0", "reason": "the new office suite"}


class Contract:
    """The description that the app gives of itself, to hold its answers against."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def check(self, method: str, path: str, status: int, body: Any) -> None:
        """Fails unless the description knows this answer and the body is as it says."""
        answer = self._document["paths"][path][method.lower()]["responses"][str(status)]
        (content,) = answer["content"].values()
        schema = {**content["schema"], "components": self._document["components"]}
        jsonschema_rs.Draft202012Validator(schema).validate(body)


async def contract_of(world: World) -> Contract:
    status, document = await world.ask("GET", "/api/openapi.json")
    assert status == 200
    return Contract(document)


async def settle(world: World, minutes: float = 1) -> None:
    """Let what has been asked for happen: the clock of the host goes on a little."""
    until = world.host._clock.now() + timedelta(minutes=minutes)
    await world.host.run_until(lambda: world.host._clock.now() >= until, limit=timedelta(hours=1))


HOSTILE_BODIES = {
    "no JSON": (b"reason=why", {}, 400, "BadRequest"),
    "half a character": (b'{"reason": "\xff"}', {}, 400, "BadRequest"),
    "nested deeply": (b'{"reason": ' + b"[" * 9_000, {}, 400, "BadRequest"),
    "too long": (b" " * 10_001, {}, 413, "TooLarge"),
    "a form": (b'{"reason": "why"}', {"Content-Type": "application/x-www-form-urlencoded"}, 415, "NotJson"),
    "another charset": (b'{"reason": "why"}', {"Content-Type": "application/json; charset=utf-16"}, 415, "NotJson"),
    "nothing said": (b'{"reason": " \\u0000 "}', {}, 400, "BadRequest"),
}

STRANGE_IDS = (
    "a%2Fb",
    "..%2F..%2Fetc",
    "%00",
    "%C3%A9",
    "%FF",
    "image-%0D%0ASet-Cookie:x",
    "image-" + "x" * 3_000,
    "'--",
)


async def test_hostile_requests_get_a_problem_each_and_do_nothing(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        contract = await contract_of(world)
        _, started = await world.ask("POST", "/api/rollouts", json=ROLLOUT)
        path = f"/api/rollouts/{started['id']}/pause"
        for name, (body, said, expected, code) in HOSTILE_BODIES.items():
            headers = {"Content-Type": "application/json", **said}
            status, problem = await world.ask("POST", path, data=body, headers=headers)
            assert (status, problem["code"]) == (expected, code), name
            contract.check("POST", "/rollouts/{id}/pause", status, problem)
        _, problem = await world.ask("POST", path, json={"reason": 7})
        assert problem["field"] == "reason"
        for strange in STRANGE_IDS:
            for method, address in (("GET", ""), ("POST", "/abort"), ("POST", "/approve")):
                url = f"/api/rollouts/{strange}{address}"
                async with world.http.request(
                    method, f"{world.host.base_url}{url}", json={"reason": "why"} if method == "POST" else None
                ) as answer:
                    assert answer.status in (404, 400), (url, answer.status)
                    assert "Set-Cookie" not in answer.headers
        # As in Azure, a known address with another verb is an unknown one.
        assert (await world.ask("PUT", "/api/freeze"))[0] == 404
        _, shown = await world.ask("GET", f"/api/rollouts/{started['id']}")
        assert "command" not in shown


async def test_a_principal_that_the_platform_has_not_sent_makes_nobody_an_approver(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        forged = principal("ceo@contoso.com", "Approver", "Operator")
        status, started = await world.ask("POST", "/api/rollouts", json=ROLLOUT, headers=forged)
        assert status == 202
        _, shown = await world.ask("GET", f"/api/rollouts/{started['id']}")

        assert (shown["started_by"], shown["start_reason"]) == ("somebody with a function key", ROLLOUT["reason"])


async def test_two_operators_at_once_and_one_who_has_not_seen_the_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with a_world(tmp_path) as world:
        contract = await contract_of(world)
        _, started = await world.ask("POST", "/api/rollouts", json=ROLLOUT)
        path = f"/api/rollouts/{started['id']}"
        await settle(world)
        async with world.http.get(f"{world.host.base_url}{path}") as seen:
            tag, shown = seen.headers["ETag"], await seen.json()
        contract.check("GET", "/rollouts/{id}", 200, shown)

        first, second = await asyncio.gather(
            *(world.ask("POST", f"{path}/pause", json={"reason": "why"}, headers={"If-Match": tag}) for _ in range(2))
        )
        contract.check("POST", "/rollouts/{id}/pause", *first)
        # Both have been passed on: neither could see the other, and the rollout obeys the one that comes first.
        assert (first[0], second[0]) == (202, 202)
        await settle(world)
        told = [line for line in world.log if "pauses the rollout" in line]
        assert [("changes nothing" in line) for line in told] == [False, True]

        late, problem = await world.ask("POST", f"{path}/abort", json={"reason": "x"}, headers={"If-Match": tag})
        assert (late, problem["code"]) == (412, "MovedOn")
        contract.check("POST", "/rollouts/{id}/abort", late, problem)
        async with world.http.get(f"{world.host.base_url}{path}") as seen:
            tag = seen.headers["ETag"]
        assert (await world.ask("POST", f"{path}/abort", json={"reason": "x"}, headers={"If-Match": tag}))[0] == 202


async def test_whoever_waits_gets_the_answer_at_once_when_what_they_know_is_old_or_the_rollout_has_ended(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        _, started = await world.ask("POST", "/api/rollouts", json=ROLLOUT)
        path = f"/api/rollouts/{started['id']}"
        _, shown = await world.ask("GET", path)
        old = {"If-None-Match": f'"{shown["revision"]}"'}
        await settle(world)
        began = asyncio.get_running_loop().time()
        status, moved = await world.ask("GET", f"{path}?wait=PT200S", headers=old)
        assert (status, moved["revision"] == shown["revision"]) == (200, False)
        await world.finish()
        status, ended = await world.ask("GET", f"{path}?wait=PT200S")
        assert (status, ended["phase"]) == (200, Phase.SUCCEEDED)
        assert asyncio.get_running_loop().time() - began < 100
        for wrong in ("PT221S", "-PT1S", "soon", "P400000000D"):
            status, problem = await world.ask("GET", f"{path}?wait={wrong}")
            assert (status, problem["field"]) == (400, "wait"), wrong


async def test_nothing_is_started_over_http_in_a_freeze_and_an_event_is_not_lost(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        contract = await contract_of(world)
        until = (datetime.now(UTC) + timedelta(days=29)).isoformat()
        order = {"reason": "the end\nof the year", "until": until}
        frozen = await world.ask("POST", "/api/freeze", json=order)
        assert (frozen[0], frozen[1]["freeze"]["reason"]) == (202, "the end of the year")
        contract.check("POST", "/freeze", *frozen)
        await settle(world, 0.1)
        shown = await world.ask("GET", "/api/freeze")
        assert shown[1] == frozen[1]
        contract.check("GET", "/freeze", *shown)
        status, problem = await world.ask("POST", "/api/rollouts", json=ROLLOUT)
        assert (status, problem["code"]) == (409, "Frozen")
        assert "somebody with a function key: the end of the year" in problem["detail"]

        await world.announce("2.0.0")
        await settle(world, 240)
        _, listed = await world.ask("GET", "/api/rollouts")
        (rollout,) = listed["rollouts"]
        assert rollout["phase"] == Phase.PAUSED
        _, waiting = await world.ask("GET", f"/api/rollouts/{rollout['id']}")
        assert waiting["freeze"] == frozen[1]["freeze"]
        contract.check("GET", "/rollouts/{id}", 200, waiting)
        assert {method for method, *_ in world.requests} == {"GET"}

        ended = await world.ask("DELETE", "/api/freeze", json={"reason": "the books are closed"})
        assert ended == (202, {})
        contract.check("DELETE", "/freeze", *ended)
        await settle(world, 0.1)
        assert (await world.ask("GET", "/api/freeze"))[1] == {}
        await world.finish()
        _, done = await world.ask("GET", f"/api/rollouts/{rollout['id']}")
        assert done["phase"] == Phase.SUCCEEDED


@pytest.mark.parametrize(
    "until", ["2001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:00", "2027-01-01T00:00:00", "tomorrow"]
)
async def test_a_freeze_needs_an_end_that_can_be(tmp_path: Path, until: str) -> None:
    async with a_world(tmp_path) as world:
        status, problem = await world.ask("POST", "/api/freeze", json={"reason": "why", "until": until})

        assert (status, problem["field"]) == (400, "until")


async def test_a_freeze_that_rollouts_have_only_asked_for_is_none(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        _, started = await world.ask("POST", "/api/rollouts", json=ROLLOUT)
        await settle(world, 10)

        assert await world.ask("GET", "/api/freeze") == (200, {})
        _, shown = await world.ask("GET", f"/api/rollouts/{started['id']}")
        assert "freeze" not in shown
