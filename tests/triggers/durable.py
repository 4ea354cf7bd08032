"""A stand-in for the Durable client that keeps instances in memory and refuses what the real one refuses."""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from aiohttp import web
from azure.durable_functions import DurableOrchestrationClient, EntityId
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus
from azure.durable_functions.models.EntityStateResponse import EntityStateResponse

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


class Instances:
    """Instances by their id. `racing`: somebody else starts the same instance between the look and the start.

    `lists_nothing`: the list ends before the instances, as one that is cut off after a page does.
    """

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self.started: list[tuple[str, str, Any]] = []
        self.raised: list[tuple[str, str, Any]] = []
        self.racing = False
        self.broken = False
        self.lists_nothing = False
        self.entities: dict[tuple[str, str], str] = {}
        self.pages = 0
        self._orchestration_bindings = SimpleNamespace(rpc_base_url="http://127.0.0.1:9/")

    def add(self, instance_id: str, name: str = "roll_out_image", runtime: str = "Running", **fields: Any) -> None:
        """An instance that is there already, each a minute younger than the one before."""
        created = (NOW + timedelta(minutes=len(self.known))).isoformat()
        self.known[instance_id] = {
            "name": name,
            "instanceId": instance_id,
            "runtimeStatus": runtime,
            "createdTime": created,
            "lastUpdatedTime": created,
            **fields,
        }

    async def get_status(self, instance_id: str, **_: Any) -> Any:
        return DurableOrchestrationStatus.from_json(self.known.get(instance_id, {}))

    @asynccontextmanager
    async def listed(self) -> AsyncIterator[None]:
        """Meanwhile the list of instances can be asked for page by page, over HTTP as Durable serves it."""

        async def answer(request: web.Request) -> web.Response:
            prefix, top = request.query["instanceIdPrefix"], int(request.query["top"])
            first = int(request.headers.get("x-ms-continuation-token", "0"))
            since = request.query.get("createdTimeFrom", "")
            wanted = request.query.get("runtimeStatus", "").split(",")
            found = sorted(
                id
                for id, one in self.known.items()
                if id.startswith(prefix)
                and one["createdTime"].replace("+00:00", "Z") >= since
                and (wanted == [""] or one["runtimeStatus"] in wanted)
            )
            self.pages += 1
            more = first + top < len(found)
            headers = {"x-ms-continuation-token": str(first + top)} if more else {}
            return web.json_response([self.known[id] for id in found[first : first + top]], headers=headers)

        application = web.Application()
        application.add_routes([web.get("/durabletask/instances/", answer)])
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._orchestration_bindings.rpc_base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/durabletask/"
        try:
            yield
        finally:
            await runner.cleanup()

    async def get_status_by(self, runtime_status: Any = None, **_: Any) -> Any:
        wanted = {status.name for status in runtime_status or ()}
        found = [status for status in self.known.values() if not wanted or status["runtimeStatus"] in wanted]
        return [] if self.lists_nothing else [DurableOrchestrationStatus.from_json(status) for status in found]

    async def raise_event(self, instance_id: str, name: str, given: Any) -> None:
        self.raised.append((instance_id, name, given))

    async def start_new(self, name: str, instance_id: str, given: Any) -> str:
        if self.broken:
            raise Exception("The operation failed with an unexpected status code 500")
        if self.racing:
            self.add(instance_id)
        if instance_id in self.known:
            raise Exception(f"An Orchestration instance with the status Running already exists: {instance_id}")
        self.started.append((name, instance_id, given))
        self.add(instance_id)
        return instance_id

    async def read_entity_state(self, entity: EntityId) -> EntityStateResponse:
        state = self.entities.get((entity.name, entity.key))
        return EntityStateResponse(state is not None, None if state is None else json.loads(state))

    async def signal_entity(self, entity: EntityId, operation: str, given: Any) -> None:
        module = importlib.import_module(f"entities.{entity.name}")
        state = self.entities.get((entity.name, entity.key))
        context = {
            "self": {"name": entity.name, "key": entity.key},
            "exists": state is not None,
            "state": state,
            "batch": [{"name": operation, "input": json.dumps(json.dumps(given)), "isSignal": True}],
        }
        answer = json.loads(getattr(module, entity.name)._function.get_user_function()(json.dumps(context)))
        assert not answer["results"][0]["isError"], answer
        self.entities[entity.name, entity.key] = answer["entityState"]


def function_of(builder: Any) -> Any:
    """The function as it was written, before the SDK put its client middleware around it."""
    function = builder._function.get_user_function()
    return getattr(function, "client_function", function)


def as_client(instances: Instances) -> DurableOrchestrationClient:
    """The stand-in, as the type that triggers ask for."""
    return instances  # type: ignore[return-value]


def principal(name: str = "andrea@contoso.com", *roles: str) -> dict[str, str]:
    """The header by which App Service authentication tells who calls."""
    claims = [{"typ": "preferred_username", "val": name}, *({"typ": "roles", "val": role} for role in roles)]
    return {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps({"claims": claims}).encode()).decode()}
