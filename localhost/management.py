"""The durable management API over HTTP, as the SDK's client and the public URLs use it."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from localhost.client import (
    AlreadyRunning,
    DurableClient,
    Filter,
    Gone,
    InvalidInstanceId,
    NotFound,
    UnknownOrchestrator,
)
from localhost.history import EventType, dumps, moment
from localhost.store import Instance

PREFIXES = ("/runtime/webhooks/durabletask", "/durabletask")
_OPERATIONS = {
    "statusQueryGetUri": "",
    "sendEventPostUri": "/raiseEvent/{eventName}",
    "terminatePostUri": "/terminate",
    "rewindPostUri": "/rewind",
    "purgeHistoryDeleteUri": "",
    "restartPostUri": "/restart",
    "suspendPostUri": "/suspend",
    "resumePostUri": "/resume",
}
_CONTINUATION = "x-ms-continuation-token"
_WITH_REASON = ("/terminate", "/rewind", "/suspend", "/resume")


class ManagementApi:
    """Routes below `/runtime/webhooks/durabletask` (public) and `/durabletask` (between worker and host)."""

    def __init__(self, client: DurableClient, hub: str, base_url: Callable[[], str]) -> None:
        """hub: the task hub's name; base_url: the host's origin, known once it listens."""
        self._client = client
        self._hub = hub
        self._base_url = base_url

    def client_binding(self) -> str:
        """The value of the durableClient binding: from it the SDK makes its client."""
        start = self._public() + "/orchestrators/{functionName}[/{instanceId}]"
        return dumps(
            {
                "taskHubName": self._hub,
                "creationUrls": {"createNewInstancePostUri": f"{start}?{self._query()}"},
                "managementUrls": self._urls("INSTANCEID"),
                "baseUrl": self._public(),
                "requiredQueryStringParameters": "code=local",
                "rpcBaseUrl": f"{self._base_url()}/durabletask/",
            }
        )

    def routes(self) -> list[web.RouteDef]:
        """What the server serves."""
        table: list[tuple[str, str, Any]] = [
            ("POST", "/orchestrators/{name}", self._start),
            ("POST", "/orchestrators/{name}/{id}", self._start),
            ("GET", "/instances", self._list),
            ("GET", "/instances/", self._list),
            ("DELETE", "/instances", self._purge_all),
            ("DELETE", "/instances/", self._purge_all),
            ("GET", "/instances/{id}", self._status),
            ("DELETE", "/instances/{id}", self._purge),
            ("POST", "/instances/{id}/raiseEvent/{event}", self._raise_event),
            ("POST", "/instances/{id}/{operation:terminate|suspend|resume}", self._change),
            ("POST", "/instances/{id}/rewind", self._rewind),
            ("POST", "/instances/{id}/restart", self._restart),
            ("POST", "/entities/{name}/{key}", self._signal),
            ("GET", "/entities/{name}/{key}", self._entity),
        ]
        return [web.route(method, prefix + path, handler) for prefix in PREFIXES for method, path, handler in table]

    async def _start(self, request: web.Request) -> web.Response:
        raw = await _json_text(request)
        try:
            instance_id = self._client.start(
                request.match_info["name"],
                request.match_info.get("id"),
                "null" if raw is None else raw,
                request.query.get("version", ""),
            )
        except (UnknownOrchestrator, InvalidInstanceId) as error:
            # Both spellings: older extensions answer with ExceptionMessage, which the SDK reads, newer with Message.
            return web.json_response({"Message": str(error), "ExceptionMessage": str(error)}, status=400)
        except AlreadyRunning as error:
            return web.json_response({"Message": str(error)}, status=409)
        return self._accepted(instance_id)

    async def _status(self, request: web.Request) -> web.Response:
        instance = self._client.instance(request.match_info["id"])
        body = _status(instance, show_input=_flag(request, "showInput", default=True))
        if _flag(request, "showHistory"):
            history = self._client.history(instance.id)
            body["historyEvents"] = _history_view(history, with_output=_flag(request, "showHistoryOutput"))
        if instance.is_finished:
            return web.json_response(body)
        headers = {"Location": self._urls(instance.id)["statusQueryGetUri"], "Retry-After": "5"}
        return web.json_response(body, status=202, headers=headers)

    async def _list(self, request: web.Request) -> web.Response:
        show_input = _flag(request, "showInput", default=True)
        found = self._client.instances(_filter(request))
        page, headers = _page(request, found)
        return web.json_response([_status(instance, show_input=show_input) for instance in page], headers=headers)

    async def _purge(self, request: web.Request) -> web.Response:
        return _purged(self._client.purge(request.match_info["id"]))

    async def _purge_all(self, request: web.Request) -> web.Response:
        if "createdTimeFrom" not in request.query:
            return web.json_response({"Message": "Please provide value for 'createdTimeFrom' parameter."}, status=400)
        return _purged(self._client.purge_all(_filter(request)))

    async def _raise_event(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response("Only application/json request content is supported", status=400)
        raw = await _json_text(request)
        self._client.raise_event(request.match_info["id"], request.match_info["event"], "null" if raw is None else raw)
        return web.Response(status=202)

    async def _change(self, request: web.Request) -> web.Response:
        change = getattr(self._client, request.match_info["operation"])
        change(request.match_info["id"], request.query.get("reason", ""))
        return web.Response(status=202)

    async def _rewind(self, request: web.Request) -> web.Response:
        if self._client.instance(request.match_info["id"]).status != "Failed":
            return web.Response(status=410)
        return web.json_response("The local host does not rewind; restart the instance instead.", status=501)

    async def _restart(self, request: web.Request) -> web.Response:
        with_new_id = _flag(request, "restartWithNewInstanceId", default=True)
        try:
            return self._accepted(self._client.restart(request.match_info["id"], with_new_id=with_new_id))
        except AlreadyRunning as error:
            return web.json_response({"Message": str(error)}, status=409)

    async def _signal(self, request: web.Request) -> web.Response:
        name, key = request.match_info["name"], request.match_info["key"]
        self._client.signal_entity(name, key, request.query.get("op", ""), await _json_text(request))
        return web.Response(status=202)

    async def _entity(self, request: web.Request) -> web.Response:
        state = self._client.entity_state(request.match_info["name"], request.match_info["key"])
        return web.Response(text=state, content_type="application/json")

    def _accepted(self, instance_id: str) -> web.Response:
        urls = self._urls(instance_id)
        headers = {"Location": urls["statusQueryGetUri"], "Retry-After": "10"}
        return web.json_response(urls, status=202, headers=headers)

    def _urls(self, instance_id: str) -> dict[str, str]:
        urls = {"id": instance_id}
        for name, operation in _OPERATIONS.items():
            reason = "reason={text}&" if operation in _WITH_REASON else ""
            urls[name] = f"{self._public()}/instances/{quote(instance_id)}{operation}?{reason}{self._query()}"
        return urls

    def _public(self) -> str:
        return self._base_url() + PREFIXES[0]

    def _query(self) -> str:
        return f"taskHub={self._hub}&connection=Storage&code=local"


@web.middleware
async def translate_client_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turn the client's NotFound and Gone into 404 and 410 without a body, as the extension does."""
    try:
        response: web.StreamResponse = await handler(request)
    except NotFound:
        return web.Response(status=404)
    except Gone:
        return web.Response(status=410)
    return response


async def _json_text(request: web.Request) -> str | None:
    """The body as it came, checked to be JSON; None when it is empty."""
    text = await request.text()
    if not text:
        return None
    try:
        json.loads(text)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"the body is not JSON: {error}") from error
    return text


def _status(instance: Instance, *, show_input: bool) -> dict[str, Any]:
    return {
        "name": instance.name,
        "instanceId": instance.id,
        "runtimeStatus": instance.status,
        "input": json.loads(instance.input) if show_input else None,
        "customStatus": json.loads(instance.custom_status),
        "output": json.loads(instance.output),
        "createdTime": _seconds(instance.created),
        "lastUpdatedTime": _seconds(instance.updated),
    }


_NOT_SHOWN = (EventType.ORCHESTRATOR_STARTED, EventType.ORCHESTRATOR_COMPLETED)
_SCHEDULING = (EventType.TASK_SCHEDULED, EventType.SUB_ORCHESTRATION_CREATED, EventType.TIMER_CREATED)
_NAMES = {
    EventType.SUB_ORCHESTRATION_CREATED: "SubOrchestrationInstanceCreated",
    EventType.SUB_ORCHESTRATION_COMPLETED: "SubOrchestrationInstanceCompleted",
    EventType.SUB_ORCHESTRATION_FAILED: "SubOrchestrationInstanceFailed",
}


def _history_view(history: list[dict[str, Any]], *, with_output: bool) -> list[dict[str, Any]]:
    """History for people: an event that ends something names what it ends; the scheduling event is left out then."""
    scheduled = {event["EventId"]: event for event in history if event["EventType"] in _SCHEDULING}
    view: list[dict[str, Any]] = []
    for event in history:
        kind = EventType(event["EventType"])
        if kind in _NOT_SHOWN or kind in _SCHEDULING:
            continue
        shown = {"EventType": _NAMES.get(kind) or kind.name.title().replace("_", ""), "Timestamp": event["Timestamp"]}
        begun = scheduled.pop(event.get("TaskScheduledId", event.get("TimerId")), None)
        if begun is not None:
            shown |= {"ScheduledTime": begun["Timestamp"], "FunctionName": begun.get("Name")}
        shown |= {key: event[key] for key in ("Name", "Reason", "Details", "FireAt") if key in event}
        if with_output:
            shown |= {key: event[key] for key in ("Result", "Input") if key in event}
        view.append(shown)
    for begun in scheduled.values():
        kind = EventType(begun["EventType"])
        name = _NAMES.get(kind) or kind.name.title().replace("_", "")
        view.append({"EventType": name, "Timestamp": begun["Timestamp"], "FunctionName": begun.get("Name")})
    return view


def _filter(request: web.Request) -> Filter:
    query = request.query
    try:
        return Filter(
            created_from=moment(query["createdTimeFrom"]) if "createdTimeFrom" in query else None,
            created_to=moment(query["createdTimeTo"]) if "createdTimeTo" in query else None,
            prefix=query.get("instanceIdPrefix", ""),
            statuses=tuple(status for status in query.get("runtimeStatus", "").split(",") if status),
        )
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


def _page(request: web.Request, found: Sequence[Instance]) -> tuple[Sequence[Instance], dict[str, str]]:
    """As many as `top` says, and the header that tells where the next page begins; all of them without `top`."""
    try:
        first, top = int(request.headers.get(_CONTINUATION, "0")), int(request.query.get("top", "0"))
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    last = first + top if top > 0 else len(found)
    return found[max(first, 0) : last], {_CONTINUATION: str(last)} if last < len(found) else {}


def _flag(request: web.Request, name: str, *, default: bool = False) -> bool:
    text = request.query.get(name)
    return default if text is None else text.lower() == "true"


def _purged(count: int) -> web.Response:
    return web.json_response({"instancesDeleted": count}, status=200 if count else 404)


def _seconds(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
