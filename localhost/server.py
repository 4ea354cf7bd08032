"""The HTTP side of the host, on aiohttp: function routes, the Event Grid webhook, management and admin calls."""

import asyncio
import json
import logging
from collections.abc import Sequence
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from localhost.app import App, Function
from localhost.dispatcher import Dispatcher
from localhost.faults import HostCrashed
from localhost.history import timestamp
from localhost.management import ManagementApi, translate_client_errors
from localhost.routes import Routes
from localhost.schedule import TimerTrigger
from localhost.store import Schedule
from localhost.triggers import Triggers
from localhost.worker import Datum, FunctionFailed, http_datum

_log = logging.getLogger(__name__)
# Azure's limit for a request to an HTTP function is about 210 MB; an Event Grid batch has at most 1 MB.
_MAX_BODY = 210 * 1024 * 1024


class Server:
    """Listens on 127.0.0.1."""

    def __init__(
        self,
        app: App,
        route_prefix: str,
        triggers: Triggers,
        timers: Sequence[TimerTrigger],
        management: ManagementApi,
        dispatcher: Dispatcher,
        *,
        in_parallel: bool,
    ) -> None:
        """in_parallel: whether the events of one delivery run beside each other, as in Azure."""
        self._app = app
        self._prefix = "/" + route_prefix.strip("/")
        self._routes = Routes(app.of_kind("httpTrigger"))
        self._triggers = triggers
        self._timers = {timer.function.name.lower(): timer for timer in timers}
        self._dispatcher = dispatcher
        self._in_parallel = in_parallel
        self._runner = web.AppRunner(
            self._application(management), access_log=None, handle_signals=False, shutdown_timeout=1.0
        )
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen on the port, or on a free one for 0; `port` tells which."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; requests in progress have a second."""
        await self._runner.cleanup()

    def _application(self, management: ManagementApi) -> web.Application:
        application = web.Application(client_max_size=_MAX_BODY, middlewares=[self._hold_time, translate_client_errors])
        application.add_routes(management.routes())
        webhook = "/runtime/webhooks/{name:[eE]vent[gG]rid}"
        application.add_routes(
            [
                web.post(webhook, self._event_grid),
                web.options(webhook, _allow_cloud_events),
                web.get("/admin/host/status", self._host_status),
                web.post("/admin/functions/{name}", self._run_timer),
                web.route("*", self._prefix.rstrip("/") + "/{path:.*}", self._function),
            ]
        )
        return application

    @web.middleware
    async def _hold_time(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Virtual time stands still during a request; a crash inside it leaves the client without an answer."""
        with self._dispatcher.request():
            try:
                response: web.StreamResponse = await handler(request)
            except HostCrashed as crash:
                self._dispatcher.crash(crash)
                if request.transport is not None:
                    request.transport.close()
                return web.Response(status=500)
            # Who looks at a simulated day must be told what time it is there.
            response.headers["Date"] = format_datetime(self._dispatcher.now(), usegmt=True)
            return response

    async def _function(self, request: web.Request) -> web.Response:
        raw_path = request.rel_url.raw_path
        found = self._routes.match(request.method, raw_path[len(self._prefix.rstrip("/")) :])
        if found is None:
            return web.Response(status=404)
        function, route = found
        data = http_datum(
            request.method, str(request.url), dict(request.headers), dict(request.query), route, await request.read()
        )
        try:
            return _http_response(await self._triggers.run(function, data))
        except FunctionFailed:
            return web.Response(status=500)

    async def _event_grid(self, request: web.Request) -> web.Response:
        function = _named(self._app.of_kind("eventGridTrigger"), request.query.get("functionName", ""))
        if function is None:
            return web.Response(status=404, text=f"cannot find function: '{request.query.get('functionName', '')}'")
        kind = request.headers.get("aeg-event-type", "")
        if kind.lower() == "unsubscribe":
            return web.Response(status=202)
        try:
            body = await request.json()
        except ValueError:
            return web.Response(status=400, text="the body is not JSON")
        events = body if isinstance(body, list) else [body]
        if not all(isinstance(event, dict) for event in events):
            return web.Response(status=400, text="an event is not an object")
        if kind.lower() == "subscriptionvalidation":
            return _validation(events)
        if kind.lower() != "notification":
            return web.Response(status=400, text="the header aeg-event-type is missing or unknown")
        return web.Response(status=202 if await self._deliver(function, events) else 500)

    async def _deliver(self, function: Function, events: list[dict[str, Any]]) -> bool:
        """Run the function for each event; whether all went well. One failure fails the delivery as a whole."""
        if self._in_parallel:
            return all(await asyncio.gather(*(self._triggers.run_event(function, event) for event in events)))
        return all([await self._triggers.run_event(function, event) for event in events])

    async def _run_timer(self, request: web.Request) -> web.Response:
        """Run a timer trigger now; its schedule is not touched."""
        timer = self._timers.get(request.match_info["name"].lower())
        if timer is None:
            return web.Response(status=404)
        now = self._dispatcher.now()
        await self._triggers.run_timer(timer, Schedule(None, timer.next_after(now), now), False)
        return web.Response(status=202)

    async def _host_status(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "state": "Running",
                "time": timestamp(self._dispatcher.now()),
                "functions": sorted(self._app.functions),
            }
        )


def _named(functions: Sequence[Function], name: str) -> Function | None:
    return next((function for function in functions if function.name.lower() == name.lower()), None)


def _validation(events: list[dict[str, Any]]) -> web.Response:
    data = events[0].get("data") if events else None
    if isinstance(data, str):  # CloudEvents subscriptions encode it twice
        data = json.loads(data)
    if not isinstance(data, dict) or "validationCode" not in data:
        return web.Response(status=400, text="the event has no validationCode")
    return web.json_response({"validationResponse": data["validationCode"]})


async def _allow_cloud_events(request: web.Request) -> web.Response:
    """The handshake of CloudEvents webhooks: say that the origin may send."""
    origin = request.headers.get("WebHook-Request-Origin")
    if origin is None:
        return web.Response(status=400)
    return web.Response(
        headers={"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*", "Allow": "POST, OPTIONS"}
    )


def _http_response(datum: Datum | None) -> web.Response:
    if datum is None:
        return web.Response(status=204)
    if datum.type != "http":
        return web.Response(text=str(datum.value))
    value = datum.value
    body = value["body"].value
    response = web.Response(
        status=int(value["status_code"].value), body=body.encode() if isinstance(body, str) else body
    )
    for name, header in value["headers"].items():
        response.headers[name] = header.value
    for cookie in value["cookies"] or ():
        for morsel in cookie.values():
            response.headers.add("Set-Cookie", morsel.OutputString())
    return response
