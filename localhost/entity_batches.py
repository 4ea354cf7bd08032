"""Runs entities: every visible operation as one batch; state and replies are committed in one transaction."""

import json
from datetime import datetime
from typing import Any

from localhost.app import App
from localhost.clock import Clock
from localhost.history import EventType, dumps, event
from localhost.replay import Scheduled
from localhost.store import Instance, Store
from localhost.worker import Datum, FunctionFailed, Worker


class EntityBatches:
    """Moves entities on."""

    def __init__(self, app: App, store: Store, worker: Worker, clock: Clock) -> None:
        """Entities report to nobody but their callers."""
        self._app = app
        self._store = store
        self._worker = worker
        self._clock = clock

    def run(self, entity_id: str) -> None:
        """Run every visible operation of an entity as one batch and commit its state and the replies."""
        now = self._clock.now()
        messages = self._store.messages(entity_id, now)
        requests = [json.loads(message.body) for message in messages]
        _, name, key = entity_id.split("@", 2)
        state = self._store.entity(entity_id)
        answer = self._ask(name, key, state, requests)
        with self._store.transaction("entity"):
            self._store.delete_messages(messages)
            if answer["entityExists"]:
                self._store.save_entity(entity_id, answer["entityState"])
            elif state is not None:
                self._store.save_entity(entity_id, None)
            for request, result in zip(requests, answer["results"], strict=True):
                if not request["signal"]:
                    self._reply(request, result, now)

    def _ask(self, name: str, key: str, state: str | None, requests: list[Any]) -> dict[str, Any]:
        context = {
            "self": {"name": name, "key": key},
            "exists": state is not None,
            "state": state,
            "batch": [
                {"name": request["op"], "input": request["input"], "isSignal": request["signal"]}
                for request in requests
            ],
        }
        function = self._app.entity(name)
        error = f"The function '{name}' doesn't exist, is disabled, or is not an entity function."
        if function is not None:
            try:
                answer: dict[str, Any] = json.loads(
                    self._worker.invoke_now(function, Datum(type="string", value=dumps(context)))
                )
                return answer
            except FunctionFailed as failure:
                error = f"Entity function '{name}' failed: {failure.text}"
        failed = {"isError": True, "result": dumps(error)}
        return {"entityExists": state is not None, "entityState": state, "results": [failed for _ in requests]}

    def _reply(self, request: dict[str, Any], result: dict[str, Any], now: datetime) -> None:
        content = {"result": result["result"]}
        if result["isError"]:
            content["exceptionType"] = "System.Exception"
        reply = event(EventType.EVENT_RAISED, now, Name=request["id"], Input=dumps(content))
        self._store.send(request["parent"], request["parentExecution"], now, dumps(reply))


def entity_request(scheduled: Scheduled, caller: Instance) -> str:
    """The message by which an orchestration calls or signals an entity."""
    return dumps(
        {
            "id": scheduled.request_id,
            "op": scheduled.name,
            "signal": scheduled.signal,
            "input": dumps(scheduled.input),
            "parent": caller.id,
            "parentExecution": caller.execution_id,
        }
    )


def signal_request(operation: str, raw: str | None) -> str:
    """The message by which a client signals an entity. raw: the JSON text of the request's body, or None."""
    return dumps({"id": "", "op": operation, "signal": True, "input": raw, "parent": None, "parentExecution": None})
